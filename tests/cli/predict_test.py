#!/usr/bin/env python3
"""Runs `epbench predict` as a user would: tables, documents, sweeps, published rows, bad input. Needs no MPI.

Usage: predict_test.py EPBENCH SOURCE [unittest arguments]
"""
import csv
import io
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

EPBENCH, SOURCE = sys.argv.pop(1), pathlib.Path(sys.argv.pop(1))
H100 = str(SOURCE / "data" / "clusters" / "h100.json")
DATA = SOURCE / "tests" / "data"
SMALL = ["--cluster", H100, "--ranks", "16", "--tokens", "64", "--experts", "32"]


def run(arguments):
    return subprocess.run([EPBENCH, "predict"] + arguments, capture_output=True, text=True, timeout=60, check=False)


class Predict(unittest.TestCase):
    def report(self, arguments):
        done = run(arguments + ["--json", "-"])
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def assert_refused(self, arguments, *parts):
        done = run(arguments)
        self.assertEqual((done.returncode, done.stdout), (6, ""), arguments)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        for part in parts:
            self.assertIn(part, done.stderr)

    def test_report_has_the_shape_of_a_run(self):
        report = self.report(SMALL)
        schema = json.loads((SOURCE / "docs" / "output.schema.json").read_text(encoding="utf-8"))
        self.assertEqual(set(report), set(schema["required"]))
        self.assertEqual([row["strategy"] for row in report["rows"]], ["sequential", "overlapped"])
        for row in report["rows"]:
            self.assertEqual(set(row), set(schema["$defs"]["row"]["required"]))
            self.assertEqual((row["status"], row["ranks"], row["nodes"], row["tokens"]), ("predicted", 16, 2, 1024))
            self.assertIsNone(row["median_us"])
            self.assertIsNone(row["check"])
            self.assertGreater(row["predicted_us"], 0)
            self.assertTrue(all(step["measured_us"] is None for step in row["steps"]))
            self.assertAlmostEqual(max(span["end_us"] for span in row["timeline"]["predicted"]), row["predicted_us"], 2)

    def test_table_and_csv(self):
        done = run(SMALL)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("16 ranks on 2 nodes of DGX H100", done.stdout)
        self.assertIn("gate_up", done.stdout)
        table = run(SMALL + ["--csv", "-"])
        rows = list(csv.DictReader(io.StringIO(table.stdout)))
        self.assertEqual([row["status"] for row in rows], ["predicted", "predicted"])
        self.assertEqual(rows[0]["median_us"], "")

    def test_every_shipped_cluster(self):
        for path in (SOURCE / "data" / "clusters").glob("*.json"):
            with self.subTest(path=path.name):
                self.assertEqual(run(["--cluster", str(path), "--tokens", "64", "--experts", "288"]).returncode, 0)

    def test_any_strategy_and_payload(self):
        report = self.report(SMALL + ["--strategy", "all", "--dispatch-dtype", "fp8", "--hidden", "1024"])
        self.assertGreaterEqual(len(report["rows"]), 5)
        sent = report["rows"][0]["bytes"]
        self.assertAlmostEqual(sent["dispatch"]["useful"] / sent["combine"]["useful"], (1024 + 32) / 2048)

    def test_any_direction(self):
        times = {}
        for direction in ("forward", "backward", "step"):
            for traffic in ("exact", "expected"):
                rows = self.report(SMALL + ["--strategy", "all", "--direction", direction, "--traffic", traffic])["rows"]
                self.assertEqual({row["direction"] for row in rows}, {direction})
                times[direction] = rows[0]["predicted_us"]
        self.assertGreater(times["step"], times["forward"])
        self.assertGreater(times["step"], times["backward"])
        self.assert_refused(SMALL + ["--direction", "sideways"], "--direction", "sideways")

    def test_sweep_is_a_row_for_each_combination(self):
        lists = ["--ranks", "8,16", "--tokens", "32,64", "--routing", "uniform,lognormal:0.45,hot=2*4,zipf:1",
                 "--placement", "block,round-robin", "--strategy", "sequential"]
        done = run(SMALL + lists)
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = [line for line in done.stdout.splitlines() if not line.startswith(("#", "note"))]
        self.assertEqual(len(lines), 1 + 2 * 2 * 3 * 2)
        rows = self.report(SMALL + lists)["rows"]
        points = {(row["ranks"], row["tokens"], row["routing"], row["placement"]) for row in rows}
        self.assertEqual(len(points), 24)
        self.assertIn((16, 1024, "lognormal:0.45,hot=2*4", "block"), points)

    def test_more_tokens_take_longer(self):
        rows = self.report(SMALL + ["--tokens", "64,128,256", "--strategy", "sequential"])["rows"]
        times = [row["predicted_us"] for row in rows]
        self.assertEqual(times, sorted(times))

    def test_expectation_agrees_with_the_routing(self):
        job = ["--cluster", H100, "--ranks", "16", "--tokens", "2K", "--experts", "128", "--topk", "8", "--hidden",
               "4096", "--strategy", "sequential"]
        for routing in ("uniform", "lognormal:0.65", "hot:0.2"):
            with self.subTest(routing=routing):
                exact, expected = (self.report(job + ["--routing", routing, "--traffic", kind])
                                   for kind in ("exact", "expected"))
                self.assertIsNotNone(exact["provenance"]["routing_hash"])
                self.assertIsNone(expected["provenance"]["routing_hash"])
                self.assertTrue(any("expected traffic" in note for note in expected["notes"]))
                a, b = exact["rows"][0], expected["rows"][0]
                self.assertLess(abs(a["predicted_us"] / b["predicted_us"] - 1), 0.03)
                for kind in ("dispatch", "combine"):
                    for name, count in a["bytes"][kind].items():
                        self.assertAlmostEqual(b["bytes"][kind][name] / max(1, count), 1 if count else 0, delta=0.02)

    def test_thousands_of_ranks(self):
        report = self.report(["--cluster", H100, "--ranks", "4096", "--tokens", "4K", "--experts", "4096", "--topk",
                              "8", "--strategy", "sequential"])
        self.assertEqual((report["rows"][0]["nodes"], report["rows"][0]["tokens"]), (512, 4096 * 4096))
        self.assertIsNone(report["rows"][0]["timeline"]["predicted"])

    def test_matrices_beyond_the_memory_are_refused(self):
        # 2^40 pairs of ranks: terabytes.
        self.assert_refused(["--cluster", H100, "--ranks", "1M", "--tokens", "1", "--topk", "1", "--traffic", "exact"],
                            "--ranks", "1048576", "GiB", "--traffic expected")

    def test_help_offers_what_it_takes(self):
        done = run(["--help"])
        self.assertEqual(done.returncode, 0, done.stderr)
        offered = done.stdout.split("--strategy", 1)[1].split("--direction", 1)[0]
        self.assertIn("two-batch", offered)
        self.assertNotIn("auto", offered)

    def test_sweep_tells_whose_tokens(self):
        done = run(SMALL + ["--ranks", "8,16", "--strategy", "sequential"])
        lines = done.stdout.splitlines()
        head = next(line for line in lines if line.startswith("ranks"))
        end = head.index("job tokens") + len("job tokens")  # columns of numbers end where their names do
        rows = lines[lines.index(head) + 1:]
        self.assertEqual([line[:end].split()[-1] for line in rows], ["512", "1024"])

    def test_files_that_cannot_be_written_are_said_first(self):
        self.assert_refused(SMALL + ["--json", "/nowhere/out.json"], "/nowhere/out.json")

    def test_bad_input(self):
        self.assert_refused([], "--cluster")
        self.assert_refused(["--cluster", "/nowhere.json"], "/nowhere.json")
        self.assert_refused(SMALL + ["--ranks", "0"], "--ranks", "0")
        self.assert_refused(SMALL + ["--ranks", "8,"], "--ranks")
        self.assert_refused(SMALL + ["--ranks", "8x"], "--ranks", "8x")
        self.assert_refused(SMALL + ["--ranks-per-node", "0"], "--ranks-per-node", "0")
        self.assert_refused(SMALL + ["--tokens", "0"], "--tokens", "0")
        self.assert_refused(SMALL + ["--routing", "gaussian"], "--routing", "gaussian")
        self.assert_refused(SMALL + ["--routing", "hot=2*8"], "--routing", "hot=2*8")
        self.assert_refused(SMALL + ["--strategy", "fastest"], "--strategy", "fastest")
        self.assert_refused(SMALL + ["--strategy", "sequential,auto"], "--strategy", "auto")
        self.assert_refused(SMALL + ["--traffic", "guessed"], "--traffic", "guessed")
        self.assert_refused(SMALL + ["--topk", "33"], "topk", "33")
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "mine.json")
            good = json.loads(pathlib.Path(H100).read_text(encoding="utf-8"))
            good["links"]["in_node"]["gbs"] = -1
            path.write_text(json.dumps(good), encoding="utf-8")
            self.assert_refused(["--cluster", str(path)], str(path), "links.in_node.gbs", "-1")


class Against(unittest.TestCase):
    def test_every_row_has_its_errors(self):
        done = run(["--against", str(DATA / "published_sample.csv"),
                    "--constants", str(DATA / "published_constants.json")])
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        lines = [line for line in done.stdout.splitlines() if line.startswith("lib ") and "box" in line]
        self.assertEqual(len(lines), 9)
        # 100 tokens, four payloads of 2000 bytes each over 100 GB/s: the datasheet says what the file does.
        self.assertIn("+0.0%", lines[0])
        for word in ("median", "worst", "datasheet", "left out"):
            self.assertIn(word, done.stdout)

    def test_bad_input(self):
        sample, constants = str(DATA / "published_sample.csv"), str(DATA / "published_constants.json")
        for arguments, part in (([sample], "--constants"), ([sample, "--constants", "/nowhere"], "/nowhere"),
                                (["/nowhere", "--constants", constants], "/nowhere"),
                                ([constants, "--constants", constants], "header"),
                                ([sample, "--constants", sample], "JSON"),
                                ([sample, "--constants", constants, "--cluster", H100], "--cluster"),
                                *(([sample, "--constants", constants, option, "/nowhere"], option)
                                  for option in ("--json", "--csv", "--trace"))):
            done = run(["--against"] + arguments)
            self.assertEqual((done.returncode, done.stdout), (6, ""), arguments)
            self.assertIn(part, done.stderr)


if __name__ == "__main__":
    unittest.main()
