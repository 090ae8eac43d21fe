#!/usr/bin/env bash
# netns_epbench_test.sh SOURCE_DIR EPBENCH: a job of two ranks on each of two hosts measures both tiers and checks its
# results, and a calibration across hosts leaves a cluster file that predictions take.
set -euo pipefail

epbench=$2
cluster=("$1/scripts/netns-cluster" --name "epjob$$")
layer=(--tokens 64 --hidden 64 --ffn 32 --shared-ffn 32 --experts 8 --topk 2)

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

# across COMMAND…: on both hosts, two ranks each; what it says is shown when it fails.
across() {
  timeout 60 "${cluster[@]}" run --ranks-per-host 2 -- "$epbench" "$@" >"$folder/said" 2>&1 ||
    fail "exit code $? of $1: $(cat "$folder/said")"
}

# holds FILE CONDITION: of the JSON in FILE, as the Python variable it.
holds() {
  python3 -c "import json, sys; it = json.load(open(sys.argv[1])); sys.exit(not ($2))" "$1" ||
    fail "not so in $(basename "$1"): $2"
}

code=0
"${cluster[@]}" up 2 1gbit || code=$?
[ "$code" -ne 5 ] || exit 77
[ "$code" -eq 0 ] || fail "up ended with $code"
folder=$(mktemp -d)
trap '"${cluster[@]}" down; rm -rf "$folder"' EXIT

across run "${layer[@]}" --strategy sequential -n 3 --time-limit 2 --json "$folder/report.json"
holds "$folder/report.json" "len(it['rows']) == 1 and it['rows'][0]['status'] == 'ok'"
holds "$folder/report.json" "(it['rows'][0]['ranks'], it['rows'][0]['nodes'], it['rows'][0]['tokens']) == (4, 2, 256)"
holds "$folder/report.json" "it['rows'][0]['check']['passed'] and it['rows'][0]['check']['tokens_checked'] > 0"
# Neighbours in rank order, and rows that leave the host are fewer than those that leave a rank.
holds "$folder/report.json" "[r['host'][-3:] for r in it['rows'][0]['per_rank']] == ['-n0', '-n0', '-n1', '-n1']"
holds "$folder/report.json" \
  "0 < it['rows'][0]['bytes']['dispatch']['wire_node'] < it['rows'][0]['bytes']['dispatch']['wire_rank']"

across run "${layer[@]}" --strategy sequential -n 3 --time-limit 2 --launches 2 --json "$folder/launches.json"
holds "$folder/launches.json" "len(it['rows'][0]['launch_medians_us']) == 2 and it['rows'][0]['ranks'] == 4"

across calibrate "${layer[@]}" -o "$folder/cluster.json"
holds "$folder/cluster.json" "(it['nodes'], it['ranks_per_node']) == (2, 2)"
# 1 Gbit/s is 0.12 GB/s of payload, and memory takes ten times that on any machine.
holds "$folder/cluster.json" "0 < it['links']['between_nodes']['gbs'] < it['links']['in_node']['gbs']"
"$epbench" predict --cluster "$folder/cluster.json" "${layer[@]}" --json "$folder/predicted.json" >/dev/null
holds "$folder/predicted.json" "all((row['ranks'], row['nodes']) == (4, 2) for row in it['rows'])"

# A link that has become slower since is named, whatever the file says it moves. Of two hosts both ends are.
"${cluster[@]}" rate "epjob$$-n1" egress 300mbit
across run "${layer[@]}" --cluster "$folder/cluster.json" --strategy sequential -n 3 --time-limit 2 --json "$folder/slow.json"
holds "$folder/slow.json" \
  "('node egress', 1) in [(s['resource'], s['index']) for s in it['rows'][0]['suspects'] if s['slowdown'] > 2]"
