"""Runs `epbench calibrate` and what uses its file under mpirun: predict, run --cluster, run --fail-above.

Usage: calibrate_test.py EPBENCH MPIRUN...
"""

import json
import os
import subprocess
import sys
import tempfile
import unittest

EPBENCH, MPIRUN = sys.argv[1], sys.argv[2:]
SHAPE = ["--tokens", "24", "--hidden", "64", "--ffn", "32", "--shared-ffn", "32", "--experts", "8", "--topk", "2"]
SHORT = ["-w", "1", "-n", "4", "--time-limit", "0.2", "--strategy", "sequential"]


def mpirun(arguments, ranks=2):
    return subprocess.run(MPIRUN + ["-n", str(ranks), EPBENCH] + arguments, capture_output=True, text=True, timeout=120,
                          check=False)


class Calibrate(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.cluster = os.path.join(cls.folder.name, "cluster.json")
        cls.done = mpirun(["calibrate", "-o", cls.cluster] + SHAPE)

    def write(self, document):
        path = os.path.join(self.folder.name, "changed.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(document, file)
        return path

    def read(self):
        with open(self.cluster, encoding="utf-8") as file:
            return json.load(file)

    def test_file_says_where_its_figures_come_from(self):
        self.assertEqual(self.done.returncode, 0, self.done.stderr)
        cluster = self.read()
        self.assertEqual((cluster["nodes"], cluster["ranks_per_node"]), (1, 2))
        self.assertTrue(cluster["links"]["in_node"]["origin"].startswith("calibrated on "))
        self.assertIsNone(cluster["links"]["between_nodes"])
        self.assertGreater(cluster["links"]["in_node"]["gbs"], 0)
        self.assertIn("pack", cluster["kernels"])

    def test_file_says_how_far_each_figure_is_supported(self):
        cluster = self.read()
        figures = {"links.in_node", "links.node_memory"} | {f"kernels.{kernel}" for kernel in cluster["kernels"]}
        self.assertEqual(set(cluster["fits"]), figures | {f"gemm[{i}]" for i in range(len(cluster["gemm"]))})
        for name, fit in cluster["fits"].items():
            self.assertEqual(fit["worst_residual"], max(abs(s["residual"]) for s in fit["samples"]), name)
            for kernel, line in cluster["kernels"].items():
                if name == f"kernels.{kernel}" and "points" in line:
                    self.assertEqual((fit["fixed_us"], fit["gbs"]), (None, None), name)
                elif name == f"kernels.{kernel}" and fit["gbs"] is not None:
                    self.assertEqual(fit["gbs"]["value"], line["gbs"], name)

    def test_says_what_predictions_take(self):
        range_, figure, trust = r"[\d.]+ \w+ to [\d.]+ \w+", r"(-|\S+ \(\S+ to \S+\))", r"(-|<0|[\d.]+) +[\d.]+%"
        constants = rf" +{range_} +({figure} +{figure}|\d points +[\d.]+) +{trust}$"
        for what in ("one link in a node", "pack", "dispatch, whole node", "memory, whole node"):
            self.assertRegex(self.done.stdout, rf"(?m)^ +{what}{constants}")
        self.assertRegex(self.done.stdout,  # gate-up: 2 x ffn 32
                         rf"(?m)^ +\[rows x 64\] x \[64 x 64\] +\d+ to \d+ rows +\d points +[\d.]+ GFLOP/s +{trust}$")
        self.assertRegex(self.done.stdout, r"beside communication takes \d+\.\d\d times")

    def test_one_rank_alone_has_no_exchange_to_tell_of(self):
        path = os.path.join(self.folder.name, "one.json")
        done = mpirun(["calibrate", "-o", path] + SHAPE, ranks=1)
        self.assertEqual(done.returncode, 0, done.stderr)
        done = mpirun(["run", "--cluster", path] + SHAPE + SHORT, ranks=1)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_survey_says_how_well_each_line_holds(self):
        lines = self.done.stdout.splitlines()
        for pattern in ("rank 0 to 1", "rank 1 to 0", "both ways"):
            row = next(line for line in lines if pattern in line)
            self.assertRegex(row, r"in node .* KiB to .* 0\.\d{4} +\d+%$|in node .* KiB to .* 1\.0000 +\d+%$")
        self.assertNotIn("one to all", self.done.stdout)  # with two ranks it would be one of the others again

    def test_survey_leaves_standard_output_to_the_file(self):
        done = mpirun(["calibrate", "-o", "-"] + SHAPE, ranks=3)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("links", json.loads(done.stdout))
        for pattern in ("one to all", "all to one", "all to all"):
            self.assertIn(pattern, done.stderr)

    def test_predict_takes_it(self):
        done = subprocess.run([EPBENCH, "predict", "--cluster", self.cluster] + SHAPE, capture_output=True, text=True,
                              timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("2 ranks on 1 node", done.stdout)
        done = subprocess.run([EPBENCH, "predict", "--cluster", self.cluster, "--ranks", "4"] + SHAPE,
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 6)
        self.assertIn("links.between_nodes", done.stderr)

    def test_predictions_do_not_read_how_far_figures_are_supported(self):
        cluster = self.read()
        del cluster["fits"]
        said = []
        for path in (self.cluster, self.write(cluster)):
            done = subprocess.run([EPBENCH, "predict", "--cluster", path] + SHAPE, capture_output=True, text=True,
                                  timeout=60, check=True)
            said.append(done.stdout.replace(path, "FILE"))
        self.assertEqual(said[0], said[1])

    def test_run_predicts_with_it(self):
        cluster = self.read()
        cluster["counts"]["latency_us"] = 123456.0  # cannot have been calibrated
        done = mpirun(["run", "--cluster", self.write(cluster), "--json", "-"] + SHAPE + SHORT)
        self.assertEqual(done.returncode, 0, done.stderr)
        report = json.loads(done.stdout)
        counts = next(step for step in report["rows"][0]["steps"] if step["kind"] == "counts")
        self.assertAlmostEqual(counts["predicted_us"], 123456.0)
        self.assertTrue(any("cluster file" in note for note in report["notes"]))

    def test_run_refuses_a_broken_file_once(self):
        cluster = self.read()
        cluster["links"]["in_node"]["gbs"] = 0
        path = self.write(cluster)
        done = mpirun(["run", "--cluster", path] + SHAPE + SHORT)
        self.assertEqual(done.returncode, 6)
        self.assertEqual(done.stderr.count("links.in_node.gbs"), 1, done.stderr)
        self.assertIn(path, done.stderr)

    def test_file_that_cannot_be_written_is_said_first(self):
        done = mpirun(["calibrate", "-o", "/nowhere/cluster.json"] + SHAPE)
        self.assertEqual(done.returncode, 6)
        self.assertIn("/nowhere/cluster.json", done.stderr)
        self.assertEqual(mpirun(["calibrate"] + SHAPE).returncode, 6)


class FailAbove(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def test_slower_than_allowed_ends_in_7_after_all_is_written(self):
        path = os.path.join(self.folder.name, "report.json")
        done = mpirun(["run", "--fail-above", "0.001", "--json", path] + SHAPE + SHORT)
        self.assertEqual(done.returncode, 7, done.stderr)
        self.assertIn("sequential, forward", done.stdout)
        self.assertIn("--fail-above 0.001: sequential, forward: the iteration took", done.stderr)
        self.assertEqual(done.stderr.count("the iteration took"), 1)
        self.assertIn("bound by", done.stderr)
        with open(path, encoding="utf-8") as file:
            report = json.load(file)
        self.assertEqual(report["config"]["fail-above"], 0.001)
        # A step's line names the rank and host that took longest for it.
        steps = [line for line in done.stderr.splitlines() if "--fail-above" in line and "the iteration" not in line]
        self.assertTrue(steps, done.stderr)
        hosts = {(rank["rank"], rank["host"]) for rank in report["rows"][0]["per_rank"]}
        for line in steps:
            self.assertRegex(line, r"slowest on rank \d+ on \S+$")
            words = line.split()
            self.assertIn((int(words[-3]), words[-1]), hosts)

    def test_within_the_bound_ends_in_0(self):
        done = mpirun(["run", "--fail-above", "1e9"] + SHAPE + SHORT)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("fail-above", done.stderr)

    def test_bad_bounds(self):
        for bound in ("-1", "nan", "x"):
            done = mpirun(["run", "--fail-above", bound] + SHAPE + SHORT)
            self.assertEqual(done.returncode, 6, bound)
            self.assertIn("--fail-above", done.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
