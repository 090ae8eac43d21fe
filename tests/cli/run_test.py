"""Runs `epbench run` under mpirun as a user would: results and documents. Arguments: see run_support.py."""

import csv
import json
import os
import pathlib
import subprocess
import sys
import unittest

from run_support import EPBENCH, MPIRUN, SCHEMA, SMALL, Folder, run


def expert_rank(expert, experts, ranks):
    return expert * ranks // experts


class Results(Folder):
    def test_any_rank_count(self):
        for ranks in (1, 2, 3, 5, 8):
            with self.subTest(ranks=ranks):
                report = self.report(SMALL, ranks)
                self.assertEqual([row["strategy"] for row in report["rows"]], ["sequential", "overlapped"])
                for row in report["rows"]:
                    self.assertEqual(row["status"], "ok")
                    self.assertTrue(row["check"]["passed"])
                    self.assertGreater(row["median_us"], 0)
                    self.assertGreater(row["predicted_us"], 0)
                    error = 100 * (row["predicted_us"] - row["median_us"]) / row["median_us"]
                    self.assertAlmostEqual(row["error_percent"], error, places=2)
                    for figure in ("exposed_us", "overlap_efficiency", "compute_interference"):
                        self.assertEqual(row[figure] is None, ranks == 1, figure)

    def test_every_direction(self):
        strategies = ["sequential", "overlapped+defer-dw", "chunked:3", "two-batch+defer-dw"]
        moved = {}
        for direction in ("forward", "backward", "step"):
            with self.subTest(direction=direction):
                names = [name.removesuffix("+defer-dw") if direction == "forward" else name for name in strategies]
                report = self.report(SMALL + ["--direction", direction, "--strategy", ",".join(names)], 3)
                self.assertEqual([row["strategy"] for row in report["rows"]], names)
                for row in report["rows"]:
                    self.assertEqual((row["status"], row["direction"]), ("ok", direction))
                    for step in row["steps"]:
                        self.assertIsNotNone(step["measured_us"], step["name"])
                        self.assertGreater(step["predicted_us"], 0, step["name"])
                    kinds = {step["kind"] for step in row["steps"]}
                    self.assertEqual("dispatch" in kinds, direction != "backward")
                    self.assertEqual("dispatch.grad" in kinds, direction != "forward")
                moved[direction] = report["rows"][0]["bytes"]["combine"]["wire_rank"]
        self.assertEqual(moved["backward"], moved["forward"])
        self.assertEqual(moved["step"], 2 * moved["forward"])

    def test_a_rank_without_work_is_not_suspected(self):
        routing = self.write("one.jsonl", "[0, 1]\n")  # rank 1 has neither tokens nor rows for its experts
        arguments = ["--routing", routing, "--strategy", "sequential"]
        row = self.report(SMALL[2:] + arguments)["rows"][0]
        self.assertEqual((row["status"], row["suspects"]), ("ok", []))

    def test_bytes_equal_an_independent_count(self):
        tokens = [[(3 * t + 5 * k) % 7 for k in range(2)] for t in range(61)]
        tokens[4] = [2, -1]
        tokens[60] = [-1, -1]
        routing = self.write("routing.jsonl", "".join(json.dumps(row) + "\n" for row in tokens))
        for ranks, dtype, payload, row in ((1, "bf16", 128, 128), (3, "bf16", 128, 128), (3, "fp8", 68, 80)):
            report = self.report(SMALL[2:] + ["--routing", routing, "--dispatch-dtype", dtype], ranks)
            copies = remote = pairs = 0
            for token, experts in enumerate(tokens):
                home = token * ranks // len(tokens)
                targets = [expert_rank(e, 7, ranks) for e in experts if e >= 0]
                copies += len(targets)
                remote += sum(target != home for target in targets)
                pairs += len(set(targets))
            counted = report["rows"][0]["bytes"]["dispatch"]
            self.assertEqual(counted["useful"], copies * payload)
            self.assertEqual(counted["wire_rank"], remote * row)
            self.assertEqual(counted["logical_rank"], pairs * payload)
            self.assertEqual(counted["wire_node"], 0)

    def test_bytes_of_a_recorded_trace(self):
        """All 24,576 tokens of one layer, counted from the file by other means: experts in blocks on four ranks."""
        trace = pathlib.Path(__file__).resolve().parents[3] / "shared/routing/gpt-oss-20b_mmlu_topk.npy"
        if not trace.exists():
            self.skipTest("the trace is not there")
        layer = ["--routing", f"{trace}:12", "--experts", "32", "--topk", "4", "--strategy", "sequential"]
        report = self.report(SMALL[2:] + layer, 4)
        row = report["rows"][0]
        self.assertTrue(row["check"]["passed"])
        counted = row["bytes"]["dispatch"]
        self.assertEqual(counted["useful"], 98304 * 128)
        self.assertEqual(counted["logical_rank"], 73929 * 128)
        self.assertEqual(counted["wire_rank"], 76475 * 128)

    def test_fp8_there_and_bf16_back(self):
        moved = {}
        for direction in ("forward", "backward", "step"):
            arguments = ["--dispatch-dtype", "fp8", "--direction", direction, "--strategy", "all", "--hidden", "200"]
            for row in self.report(SMALL + arguments, 3)["rows"]:
                self.assertEqual(row["status"], "ok", row["strategy"])
                kinds = [step["kind"] for step in row["steps"]]
                self.assertEqual(kinds.count("quantise"), kinds.count("pack"))
                for step in row["steps"]:
                    self.assertGreater(step["predicted_us"], 0, step["name"])
                moved[direction] = row["bytes"]
        for kind, payload in (("useful", 200 + 8), ("wire_rank", 208)):
            copies = moved["forward"]["combine"][kind] / 400
            self.assertEqual(moved["forward"]["dispatch"][kind], copies * payload)
            self.assertEqual(moved["backward"]["dispatch"][kind], copies * 400, "gradients are not quantised")
            self.assertEqual(moved["step"]["dispatch"][kind], copies * (400 + payload))

    def test_same_seed_same_routing_on_any_number_of_ranks(self):
        hashes = {self.report(["--tokens", str(24 // ranks)] + SMALL[2:] + ["--seed", "5"], ranks)["provenance"]["routing_hash"]
                  for ranks in (1, 2, 3)}
        self.assertEqual(len(hashes), 1)

    def test_auto_measures_what_the_model_chooses(self):
        report = self.report(SMALL + ["--strategy", "sequential,auto", "--launches", "2"])
        choice = report["choice"]
        predicted = [candidate["predicted_us"] for candidate in choice["candidates"]]
        self.assertEqual(predicted, sorted(predicted))
        names = {candidate["strategy"] for candidate in choice["candidates"]}
        self.assertEqual(names, {"sequential", "overlapped", "two-batch"} | {f"chunked:{n}" for n in range(1, 17)})
        self.assertEqual(choice["strategy"], choice["candidates"][0]["strategy"])
        rows = {row["strategy"]: row["median_us"] for row in report["rows"]}
        self.assertEqual(set(rows), {"sequential", choice["strategy"]})
        if len(rows) > 1:
            fastest = min(rows, key=rows.get)
            self.assertEqual(choice["fastest_measured"], fastest)
            above = 100 * (rows[choice["strategy"]] / rows[fastest] - 1)
            self.assertAlmostEqual(choice["above_fastest_percent"], above, places=1)
        alone = self.report(SMALL + ["--strategy", "auto"])
        self.assertEqual([row["strategy"] for row in alone["rows"]], [alone["choice"]["strategy"]])
        self.assertIsNone(alone["choice"]["fastest_measured"])

    def test_cached_plan_exchanges_no_counts(self):
        strategies = ["--strategy", "sequential,overlapped,chunked:2,two-batch"]
        for row in self.report(SMALL + strategies + ["--plan", "cached"], 3)["rows"]:
            self.assertTrue(row["check"]["passed"])
            self.assertNotIn("counts", [step["name"] for step in row["steps"]])
            self.assertEqual(row["bytes"]["dispatch"]["metadata"], 0)
        self.assertGreater(self.report(SMALL, 3)["rows"][0]["bytes"]["dispatch"]["metadata"], 0)

    def test_algorithms_dtypes_and_placements(self):
        for extra in (["--exchange-algorithm", "ialltoallv"], ["--dispatch-dtype", "fp32", "--combine-dtype", "fp32"],
                      ["--placement", "round-robin"], ["--window-in-node", "256x1"], ["--shared-ffn", "0"],
                      ["--strategy", "overlapped"]):
            with self.subTest(extra=extra):
                self.assertTrue(all(row["check"]["passed"] for row in self.report(SMALL + extra, 3)["rows"]))

    def test_problem_of_a_file_is_the_file(self):
        routing = self.write("routing.jsonl", "[0]\n[2]\n[1]\n")
        report = self.report(["--hidden", "32", "--ffn", "16", "--routing", routing, "-n", "1", "--time-limit", "0.2"])
        self.assertEqual((report["config"]["experts"], report["config"]["topk"]), (3, 1))
        self.assertFalse(report["rows"][0]["converged"] and report["rows"][0]["iterations"] < 6)



class Documents(Folder):
    def test_json_follows_its_schema(self):
        try:
            import jsonschema
        except ImportError:
            self.skipTest("python3-jsonschema is not installed")
        with open(SCHEMA, encoding="utf-8") as file:
            schema = json.load(file)
        for ranks in (1, 2):
            jsonschema.validate(self.report(SMALL, ranks), schema)

    def test_csv_and_trace(self):
        done = run(SMALL + ["--csv", self.path("out.csv"), "--trace", self.path("trace.json")])
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(self.path("out.csv"), encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual([row["strategy"] for row in rows], ["sequential", "overlapped"])
        with open(self.path("trace.json"), encoding="utf-8") as file:
            self.assertTrue(json.load(file)["traceEvents"])

    def test_table_goes_to_stdout_alone(self):
        done = run(SMALL)
        self.assertIn("overlapped", done.stdout)
        self.assertIn("bottleneck", done.stdout)
        self.assertNotIn("bottleneck", done.stderr)

    def test_document_on_standard_output(self):
        done = run(SMALL + ["--json", "-"])
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(json.loads(done.stdout)["rows"]), 2)

    def test_help_shows_defaults(self):
        done = subprocess.run([EPBENCH, "run", "--help"], capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0)
        with open(os.path.join(os.path.dirname(SCHEMA), "..", "README.md"), encoding="utf-8") as file:
            readme = [line.split("|") for line in file if line.startswith("| `-")]
        self.assertGreater(len(readme), 20)
        for cells in readme:
            for name in cells[1].replace("`", "").split(","):
                self.assertIn(name.strip(), done.stdout)
            if cells[2].strip():
                self.assertIn("=" + cells[2].strip(), done.stdout)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
