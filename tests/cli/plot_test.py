"""Draws a report of a real run with scripts/plot, and feeds it what is no report.

Usage: plot_test.py EPBENCH PLOT MPIRUN...
"""

import copy
import json
import os
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

EPBENCH, PLOT, MPIRUN = sys.argv[1], sys.argv[2], sys.argv[3:]
FIGURES = ("timeline", "steps", "strategies")


def plot(*arguments):
    return subprocess.run([PLOT, *arguments], capture_output=True, text=True, timeout=300, check=False)


def text_of(path):
    """Every word that an SVG shows."""
    return {"".join(node.itertext()).strip() for node in xml.etree.ElementTree.parse(path).iter()
            if node.tag.endswith("}text")}


class Plot(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = folder.name
        command = MPIRUN + ["-n", "2", EPBENCH, "run", "--device", "cpu", "--tokens", "24", "--hidden", "64", "--ffn", "32",
                            "--experts", "7", "--strategy", "sequential,overlapped,chunked:3", "-w", "1", "-n", "4",
                            "--time-limit", "0.2", "--json", cls.path("real.json")]
        subprocess.run(command, capture_output=True, timeout=120, check=True)
        with open(cls.path("real.json"), encoding="utf-8") as file:
            cls.report = json.load(file)

    @classmethod
    def path(cls, name):
        return os.path.join(cls.folder, name)

    def write(self, name, content):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(content if isinstance(content, str) else json.dumps(content))
        return self.path(name)

    def words(self, report, name, *options):
        """What the figures of `report` say, by figure."""
        done = plot(self.write(f"{name}.json", report), "-o", self.path("drawn"), *options)
        self.assertEqual(done.returncode, 0, done.stderr)
        stems = [os.path.join(self.path("drawn"), f"{name}-{figure}") for figure in FIGURES]
        self.assertEqual(done.stdout.split(), [stem + suffix for stem in stems for suffix in (".svg", ".png")])
        for stem in stems:
            with open(stem + ".png", "rb") as file:
                self.assertEqual(file.read(8), b"\x89PNG\r\n\x1a\n")
        return {figure: text_of(stem + ".svg") for figure, stem in zip(FIGURES, stems)}

    def test_names_of_steps_strategies_and_ranks(self):
        words = self.words(self.report, "real", "--timeline", "sequential,chunked:3", "--ranks", "1")
        for step in self.report["rows"][0]["steps"]:
            self.assertIn(step["kind"], words["steps"])
        for row in self.report["rows"]:
            self.assertIn(row["strategy"], words["strategies"])
            self.assertIn(row["strategy"], words["steps"])
        timeline = " ".join(words["timeline"])
        for name in ("sequential, measured", "chunked:3, predicted", "rank 1 "):
            self.assertIn(name, timeline)
        names = {step["name"] for row in self.report["rows"] for step in row["steps"]}
        self.assertTrue(names & words["timeline"])  # those that are long enough
        self.assertNotIn("rank 0 ", timeline)

    def test_rows_without_times(self):
        report = copy.deepcopy(self.report)
        report["rows"] = report["rows"][:2]
        for row in report["rows"]:
            row["status"] = "predicted"
            for field in ("median_us", "p95_us", "max_us", "ci_low_us", "ci_high_us", "exposed_us"):
                row[field] = None
            for step in row["steps"]:
                step["measured_us"] = None
            row["timeline"]["measured"] = None
        words = self.words(report, "predicted")
        self.assertIn("no time", words["strategies"])
        self.assertNotIn("exposed communication", " ".join(words["strategies"]))

    def test_bad_input(self):
        old = self.report | {"schema_version": 2}
        broken = copy.deepcopy(self.report)
        del broken["rows"][0]["steps"]
        for arguments, said in (([self.path("missing.json")], "missing.json"),
                                ([self.write("text.json", "{")], "text.json"),
                                ([self.write("list.json", [1])], "list.json"),
                                ([self.write("old.json", old)], "schema_version 2"),
                                ([self.write("empty.json", self.report | {"rows": []})], "no rows"),
                                ([self.write("broken.json", broken)], "broken.json"),
                                ([self.path("real.json"), "--timeline", "magic"], "magic"),
                                ([self.path("real.json"), "--ranks", "9"], "9"),
                                ([self.path("real.json"), "--ranks", "one"], "--ranks"),
                                ([self.path("real.json"), "-o", self.path("real.json")], "real.json"),
                                ([], "FILE.json")):
            with self.subTest(arguments=arguments):
                done = plot(*arguments)
                self.assertEqual(done.returncode, 6, done.stderr)
                self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
                self.assertIn(said, done.stderr)


if __name__ == "__main__":
    if plot("--help").returncode == 5:
        print("python3-matplotlib is not installed: skipped")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1], verbosity=2)
