"""Starts a job several times, by --launches and by scripts/launches. Arguments: see run_support.py."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import unittest

from run_support import EPBENCH, MPIRUN, SCHEMA, SMALL, Folder, run


class Launches(Folder):
    def test_launches_are_merged(self):
        report = self.report(SMALL + ["--launches", "2"])
        for row in report["rows"]:
            self.assertEqual(row["launches"], 2)
            self.assertEqual(len(row["launch_medians_us"]), 2)
            self.assertAlmostEqual(row["median_us"], sum(row["launch_medians_us"]) / 2, places=2)
            self.assertTrue(row["check"]["passed"])

    def test_each_launch_is_the_job_again(self):
        """Same folder (a relative path is found), environment and binding, whatever those of the waiting rank 0."""
        self.write("few.jsonl", "[0, 1]\n" * 4)
        arguments = SMALL + ["--routing", "few.jsonl", "--tokens", "2", "--json", "out.json"]
        bound = ["--bind-to", "core"] if len(os.sched_getaffinity(0)) > 1 else []
        provenance = []
        for more in ([], ["--launches", "2"]):
            command = MPIRUN + bound + ["-n", "2", EPBENCH, "run"] + arguments + more
            done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=120, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            with open(self.path("out.json"), encoding="utf-8") as file:
                provenance.append(json.load(file)["provenance"])
        for same in ("binding", "routing_hash", "hosts"):
            self.assertEqual(provenance[0][same], provenance[1][same])

    def test_without_mpirun(self):
        done = subprocess.run([EPBENCH, "run"] + SMALL + ["--launches", "2"], capture_output=True, text=True, timeout=120,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("launches    2, medians", done.stdout)

    def test_a_launch_that_fails_ends_it(self):
        done = run(SMALL + ["--launches", "2", "--tokens", "1G", "--json", self.path("out.json")])
        self.assertEqual(done.returncode, 6, done.stderr)
        self.assertEqual(len([line for line in done.stderr.splitlines() if line.startswith("epbench:")]), 1, done.stderr)
        self.assertFalse(os.path.exists(self.path("out.json")))

    def test_what_was_measured_stays(self):
        """A rank of the second launch is killed: the first one's medians are there, in the file and as a table."""
        out = self.path("out.json")
        command = MPIRUN + ["-n", "2", EPBENCH, "run"] + SMALL + ["--time-limit", "2", "--launches", "3", "--json", out]
        with job_of(command) as job:
            self.assertTrue(becomes(lambda: ranks_of_launch(1, out), 60))
            os.kill(ranks_of_launch(1, out)[-1], signal.SIGKILL)
            output, errors = job.communicate(timeout=120)
        self.assertNotIn(job.returncode, (0, 7), errors)
        self.assertIn("epbench: launch 2 of 3 ended with exit code", errors)
        self.assertIn("sequential", output)
        with open(out, encoding="utf-8") as file:
            self.assertEqual([(row["launches"], row["status"]) for row in json.load(file)["rows"]], [(1, "ok")] * 2)

    def refuses(self, command, code, fragment):
        with self.subTest(command=command):
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
            self.assertEqual(done.returncode, code, done.stderr)
            lines = [line for line in done.stderr.splitlines() if line.startswith("epbench:")]
            self.assertEqual(len(lines), 1, done.stderr)
            self.assertIn(fragment, lines[0])

    def test_where_the_command_cannot_be_given_twice(self):
        twice = [EPBENCH, "run"] + SMALL + ["--launches", "2"]
        once = [EPBENCH, "run"] + SMALL
        self.refuses(MPIRUN + ["-n", "2", "sh", "-c", '"$@"; exit $?', "sh"] + twice, 5, "scripts/launches")
        self.refuses(MPIRUN + ["-n", "1"] + twice + [":", "-n", "1"] + once, 5, "scripts/launches")
        self.refuses(MPIRUN + ["-n", "1"] + once + [":", "-n", "1"] + twice, 5, "scripts/launches")
        self.refuses(MPIRUN + ["--wdir", self.folder, "-n", "2"] + twice, 5, "--wdir")
        self.refuses(MPIRUN + ["--output-filename", self.path("said"), "-n", "2"] + twice, 5, "--output-filename")
        self.refuses(MPIRUN + ["-n", "2"] + twice + ["--cluster", "-"], 6, "standard input")
        index = "OMPI_EPBENCH_LAUNCH_INDEX"  # lost on the way, a launch would start launches
        self.refuses(["env", f"{index}=0"] + MPIRUN + ["-n", "1", "env", "-u", index] + twice, 5, index)
        # Not a number that a launcher around mpirun gave.
        done = subprocess.run(["env", "PMI_RANK=1"] + MPIRUN + ["-n", "2"] + twice, capture_output=True, text=True,
                              timeout=120, check=False)
        self.assertIn("launches    2, medians", done.stdout, done.stderr)

    def test_a_folder_that_goes_away(self):
        """What is measured is printed all the same."""
        folder = self.path("gone")
        os.mkdir(folder)
        out = os.path.join(folder, "out.json")
        with job_of(MPIRUN + ["-n", "2", EPBENCH, "run"] + SMALL + ["--launches", "2", "--json", out]) as job:
            self.assertTrue(becomes(lambda: ranks_of_launch(0, out), 60))
            os.rmdir(folder)
            output, errors = job.communicate(timeout=120)
        self.assertEqual(job.returncode, 6, errors)
        self.assertIn("launches    2, medians", output)
        self.assertIn(out, errors)

    def test_a_launch_that_cannot_start(self):
        folder = self.path("gone")
        os.mkdir(folder)
        mark = f"0.5{os.getpid()}"
        with job_of([EPBENCH, "run"] + SMALL + ["--launches", "2", "--time-limit", mark, "--json", "-"], cwd=folder) as job:
            self.assertTrue(becomes(lambda: any("OMPI_EPBENCH_LAUNCH_INDEX=0" in strings_of(process, "environ")
                                                for process in processes(mark)), 60))
            os.rmdir(folder)
            output, errors = job.communicate(timeout=120)
        self.assertEqual(job.returncode, 1, errors)
        self.assertIn("launch 2 of 2 failed", errors)
        self.assertEqual([row["launches"] for row in json.loads(output)["rows"]], [1, 1])

    def test_interrupted(self):
        """The launch that runs saves what it has before mpirun returns, and ends with the job that waits for it."""
        mark = f"300.{os.getpid()}"  # tells these processes from others
        out = self.path("out.json")
        command = MPIRUN + ["-n", "2", EPBENCH, "run"] + SMALL + ["--launches", "2", "-n", "1000000", "--time-limit", mark,
                                                                 "--json", out]
        for end in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            with job_of(command, env=os.environ | {"TMPDIR": self.folder}) as job:
                self.assertTrue(becomes(lambda: len(ranks_of_launch(0, mark)) == 2, 60))
                self.assertTrue(becomes(lambda: self.saved(job, out), 60))
                os.remove(out)
                segments = shared_files(ranks_of_launch(0, mark))
                self.assertTrue(segments)
                job.send_signal(end)
                job.communicate(timeout=60)
            if end != signal.SIGKILL:
                self.assertTrue(os.path.exists(out))
            self.assertTrue(becomes(lambda: not processes(mark), 60), processes(mark))
            self.assertTrue(becomes(lambda: not any(map(os.path.exists, segments)), 60), segments)
            if end != signal.SIGKILL:
                self.assertEqual([name for name in os.listdir(self.folder) if name.startswith("epbench")], [])

    def saved(self, job, path):
        """SIGCONT is the time to save, also for the ranks of a launch."""
        job.send_signal(signal.SIGCONT)
        time.sleep(0.5)
        if not os.path.exists(path):
            return False
        with open(path, encoding="utf-8") as file:
            return json.load(file)["rows"][0]["iterations"] > 0

    def test_a_job_started_several_times(self):
        script = os.path.join(os.path.dirname(SCHEMA), "..", "scripts", "launches")
        command = MPIRUN + ["-n", "2", EPBENCH, "run"] + SMALL
        merged = self.path("merged.json")
        done = subprocess.run([script, "2", "--keep", self.folder, "--json", merged, "--", *command], capture_output=True,
                              text=True, timeout=120, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("launches    2, medians", done.stdout)
        medians = []
        for path in (merged, self.path("launch-1.json"), self.path("launch-2.json")):
            with open(path, encoding="utf-8") as file:
                medians.append([row["median_us"] for row in json.load(file)["rows"]])
        for both, one, other in zip(*medians, strict=True):
            self.assertAlmostEqual(both, (one + other) / 2, places=2)
        for arguments in ([], ["0", "--"] + command, ["2", "--keep"], ["2", "--", "true"]):
            done = subprocess.run([script, *arguments], capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(done.returncode, 6, done.stderr)


@contextlib.contextmanager
def job_of(command, **options):
    """A job that a failed assertion does not leave behind."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options) as job:
        try:
            yield job
        except BaseException:
            job.kill()
            raise


def processes(word):
    """Process ids of those that run with the word as an argument."""
    found = []
    for process in filter(str.isdigit, os.listdir("/proc")):
        if word in strings_of(process, "cmdline"):
            found.append(int(process))
    return found


def ranks_of_launch(index, word):
    """Those of them that are ranks of a launch."""
    def is_rank(variables):
        return f"OMPI_EPBENCH_LAUNCH_INDEX={index}" in variables and any(
            variable.startswith("OMPI_COMM_WORLD_RANK=") for variable in variables)
    return [process for process in processes(word) if is_rank(strings_of(process, "environ"))]


def shared_files(ranks):
    """Paths of the shared memory that Open MPI made for them."""
    found = set()
    for rank in ranks:
        with open(f"/proc/{rank}/maps", encoding="utf-8") as file:
            found.update(line.split()[-1] for line in file if "/dev/shm/" in line)
    return {path for path in found if path.startswith("/dev/shm/")}


def strings_of(process, file_name):
    try:
        with open(f"/proc/{process}/{file_name}", encoding="utf-8", errors="replace") as file:
            return file.read().split("\0")
    except OSError:
        return []  # gone meanwhile


def becomes(true, limit_s):
    end = time.monotonic() + limit_s
    while not true() and time.monotonic() < end:
        time.sleep(0.05)
    return true()


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
