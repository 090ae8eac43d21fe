"""Runs the whole epbench on emulated GPUs: what it computes must be what the cpu device computes, and whatever goes wrong
with a GPU or a rank must end the job with one message and the exit code of its kind.

Usage: epbench_test.py EPBENCH MPIRUN...
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

from epbench_support import EPBENCH, MPIRUN, SMALL, run

# A kernel's failure is told by the next call, whichever library it is of.
TOLD = "cudaErrorLaunchFailure|CUBLAS_STATUS_EXECUTION_FAILED"



class SameAsCpu(unittest.TestCase):
    def report(self, device, exchange, *more):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "out.json")
            done = run(["--device", device, "--exchange", exchange, "--strategy", "sequential,chunked:2", "--json", path,
                        *more], 4)
            self.assertEqual(done.returncode, 0, done.stderr)
            with open(path, encoding="utf-8") as file:
                return json.load(file), done.stdout

    @staticmethod
    def planned(report):
        """What follows from the routing alone, and so must not depend on the device."""
        fields = ("strategy", "direction", "ranks", "nodes", "bytes")
        return (report["provenance"]["routing_hash"], report["provenance"]["routing_skew"],
                [{**{field: row[field] for field in fields},
                  "steps": [(step["name"], step["kind"], step["stream"]) for step in row["steps"]]}
                 for row in report["rows"]])

    def test_results_and_marks(self):
        cpu, cpu_table = self.report("cpu", "mpi")
        self.assertFalse(cpu["emulated"])
        self.assertNotIn("EMULATED", cpu_table)
        for exchange in ("nccl", "mpi"):
            with self.subTest(exchange=exchange):
                cuda, table = self.report("cuda", exchange)
                self.assertTrue(cuda["emulated"])
                self.assertEqual(self.planned(cuda), self.planned(cpu))
                for row in cuda["rows"]:
                    self.assertEqual((row["device"], row["exchange"], row["status"]), ("cuda", exchange, "ok"))
                    self.assertTrue(row["check"]["passed"])
                    self.assertEqual(row["check"]["tokens_checked"], 4 * 12)
                self.assert_marked(table)

    def test_fp8_rows(self):
        fp8 = ["--dispatch-dtype", "fp8", "--hidden", "208", "--direction", "step"]
        cpu, _ = self.report("cpu", "mpi", *fp8)
        for exchange in ("nccl", "mpi"):
            with self.subTest(exchange=exchange):
                cuda, _ = self.report("cuda", exchange, *fp8)
                self.assertEqual(self.planned(cuda), self.planned(cpu))
                for row in cuda["rows"]:
                    self.assertEqual(row["status"], "ok")

    def assert_marked(self, table):
        """A measured time begins with ~ wherever it stands, and the head says what that means."""
        self.assertIn("EMULATED", table)
        self.assertGreater(len(re.findall(r"^  \w.*~\d", table, re.MULTILINE)), 20)
        for line in table.splitlines():
            if re.match(r"  (median|iteration) ", line) or re.match(r"  \S+ +(compute|comm|host) +\S*\d", line):
                self.assertIn("~", line)


class Faults(unittest.TestCase):
    def assert_ends(self, code, fragment, ranks, faulty_rank, arguments=("--device", "cuda"), **variables):
        done = run(list(arguments), ranks, EP_EMU_FAULT_RANK=faulty_rank, **variables)
        self.assertEqual(done.returncode, code, done.stderr)
        lines = [line for line in done.stderr.splitlines() if line.startswith("epbench:")]
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertRegex(lines[0], fragment)
        self.assertNotIn("EMULATOR ERROR", done.stderr)
        return lines[0]

    def test_out_of_memory(self):
        # The fortieth may be a buffer or a kernel's scratch memory: calibration repeats what time allows.
        for count, told in ((5, "cannot allocate"), (40, "cannot allocate|cudaErrorMemoryAllocation: out of memory")):
            line = self.assert_ends(2, told, 3, 1, EP_EMU_FAIL_ALLOC=count)
            self.assertIn("rank 1", line)

    def test_launch_and_kernel_failures(self):
        self.assert_ends(2, "rank 2", 4, 2, EP_EMU_FAIL_LAUNCH=60)
        self.assert_ends(2, TOLD, 2, 0, EP_EMU_FAIL_KERNEL=60)
        self.assert_ends(2, "CUBLAS_STATUS_EXECUTION_FAILED", 2, 1, EP_EMU_FAIL_CUBLAS=20)
        self.assert_ends(2, TOLD, 3, 1, ("--device", "cuda", "--exchange", "mpi"), EP_EMU_FAIL_KERNEL=60)

    def test_nccl_errors(self):
        for count in (1, 40):
            self.assert_ends(3, "NCCL", 3, 0, EP_EMU_FAIL_NCCL=count)
        missing = r" \(the emulated NCCL keeps .*\); ranks that have not reported reaching it: "
        # The third call ends the group that connects all ranks.
        first = "NCCL: the first exchange of all pairs of ranks: "
        self.assert_ends(3, f"{first}unhandled system error{missing}1,2 ", 3, 0, EP_EMU_FAIL_NCCL=3)
        remote = f"remote process exited .*{missing}0,1,2 "
        peers = "(none|[012,]+)"
        self.assert_ends(3, rf"NCCL: all-to-all \d+, sending to {peers}, receiving from {peers}: {remote}", 4, 3,
                         EP_EMU_FAIL_NCCL_ASYNC=30)
        # With no call under way, and so noticed by whoever waits for the rows.
        self.assert_ends(3, f"{first}{remote}", 4, 3, EP_EMU_FAIL_NCCL_ASYNC=1, EP_EMU_IN_PROGRESS=0)

    def test_a_send_or_a_receive_that_fails(self):
        for count in (1, 2, 41):  # of the exchange that connects all ranks, and of a later one
            with self.subTest(count=count):
                self.assert_ends(3, r"NCCL: .*: unhandled system error", 3, 1, EP_EMU_FAIL_NCCL_TRANSFER=count)

    def test_a_rank_that_never_arrives(self):
        done = run(["--device", "cuda", "--timeout", "10"], 3, EP_EMU_FAULT_RANK=1, EP_EMU_ABSENT=30)
        self.assertEqual(done.returncode, 4, done.stderr)
        naming = [line for line in done.stderr.splitlines() if "not reported" in line]
        self.assertEqual(len(naming), 1, done.stderr)
        self.assertRegex(naming[0], r"all-to-all \d+, sending to .* not reported reaching it: 1\b")


class MpiBuffers(unittest.TestCase):
    MPI = ["--device", "cuda", "--exchange", "mpi"]

    def assert_noted(self, fragment, arguments=(), ranks=2, **variables):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "out.json")
            done = run([*self.MPI, *arguments, "--json", path], ranks, **variables)
            self.assertEqual(done.returncode, 0, done.stderr)
            with open(path, encoding="utf-8") as file:
                report = json.load(file)
        self.assertEqual(len([note for note in report["notes"] if fragment in note]), 1, report["notes"])
        self.assertIn(fragment, " ".join(done.stdout.replace("#", "").split()))
        self.assertTrue(report["rows"])
        for row in report["rows"]:
            self.assertEqual((row["exchange"], row["status"], row["check"]["passed"]), ("mpi", "ok", True))
        return report["config"]["mpi-buffers"]

    def test_device_memory_where_mpi_takes_it(self):
        used = "MPI sends rows from and receives them into device memory"
        self.assertEqual(self.assert_noted(used, ["--direction", "step", "--strategy", "all"], EP_EMU_CUDA_AWARE=1), "auto")
        self.assertEqual(self.assert_noted(used, ["--mpi-buffers", "device"], 3, EP_EMU_CUDA_AWARE=1), "device")

    def test_pinned_memory_elsewhere(self):
        staged = "rows for MPI are staged through pinned memory"
        self.assert_noted(f"{staged} (rank 0: the MPI library says that it is not CUDA-aware)")
        self.assert_noted(f"{staged} (--mpi-buffers pinned)", ["--mpi-buffers", "pinned"], EP_EMU_CUDA_AWARE=1)
        self.assert_noted(f"{staged} (rank 0: this GPU's streams cannot wait", EP_EMU_CUDA_AWARE=1,
                          EP_EMU_STREAM_WAIT_VALUES=0)

    def test_all_ranks_agree(self):
        """Only rank 1's MPI does not take device memory: mpirun gives each rank an environment of its own."""
        for more, code in ([], 0), (["--mpi-buffers", "device"], 5):
            command = ["run", *SMALL, *self.MPI, *more]
            ranks = ["-n", "1", "-x", "EP_EMU_CUDA_AWARE=1", EPBENCH, *command, ":", "-n", "1", EPBENCH, *command]
            done = subprocess.run(MPIRUN + ranks, capture_output=True, text=True, timeout=280, check=False)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertIn("rank 1: the MPI library says", " ".join((done.stdout + done.stderr).replace("#", "").split()))

    def assert_ends(self, code, fragment, arguments, **variables):
        done = run(arguments, 2, **variables)
        self.assertEqual(done.returncode, code, done.stderr)
        lines = [line for line in done.stderr.splitlines() if line.startswith("epbench:")]
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertRegex(lines[0], fragment)
        self.assertNotIn("EMULATOR ERROR", done.stderr)

    def test_refusals(self):
        device = [*self.MPI, "--mpi-buffers", "device"]
        self.assert_ends(5, "--mpi-buffers device: rank 0: the MPI library says that it is not CUDA-aware", device)
        self.assert_ends(5, "cannot wait for a value", device, EP_EMU_CUDA_AWARE=1, EP_EMU_STREAM_WAIT_VALUES=0)
        self.assert_ends(5, "--mpi-buffers: this run moves rows with NCCL", ["--device", "cuda", "--mpi-buffers", "pinned"])
        self.assert_ends(5, "cannot be part of a graph", [*self.MPI, "--cuda-graph", "--plan", "cached"],
                         EP_EMU_CUDA_AWARE=1)

    def test_failures_under_way(self):
        self.assert_ends(2, TOLD, self.MPI, EP_EMU_CUDA_AWARE=1, EP_EMU_FAIL_KERNEL=60,
                         EP_EMU_FAULT_RANK=1)


class Graphs(unittest.TestCase):
    GRAPH = ["--device", "cuda", "--cuda-graph", "--plan", "cached"]

    def test_every_strategy(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "out.json")
            done = run(self.GRAPH + ["--strategy", "all", "--direction", "step", "--json", path], 2)
            self.assertEqual(done.returncode, 0, done.stderr)
            with open(path, encoding="utf-8") as file:
                report = json.load(file)
        self.assertIs(report["config"]["cuda-graph"], True)
        self.assertEqual(len([note for note in report["notes"] if "one CUDA graph" in note]), 1)
        self.assertEqual(len(report["rows"]), 8)
        self.assertEqual({(row["status"], row["check"]["passed"]) for row in report["rows"]}, {("ok", True)})

    def ends(self, code, fragment, arguments, **variables):
        done = run(arguments, 2, **variables)
        self.assertEqual(done.returncode, code, done.stderr)
        lines = [line for line in done.stderr.splitlines() if line.startswith("epbench:")]
        self.assertTrue(lines and any(fragment in line for line in lines), done.stderr)
        self.assertNotIn("EMULATOR ERROR", done.stderr)

    def test_says_why_there_is_none(self):
        self.ends(6, "--plan cached", ["--device", "cuda", "--cuda-graph"])
        self.ends(5, "--exchange nccl", self.GRAPH + ["--exchange", "mpi"])

    def test_what_goes_wrong_in_a_replay(self):
        """Until all is captured, less than so many kernels and exchanges have run."""
        long = self.GRAPH + ["-n", "1000", "--time-limit", "20"]
        self.ends(2, "cudaErrorLaunchFailure", long, EP_EMU_FAIL_KERNEL=4000, EP_EMU_FAULT_RANK=0)
        self.ends(3, "NCCL", long, EP_EMU_FAIL_NCCL_ASYNC=1000, EP_EMU_FAULT_RANK=1)

    def test_a_rank_that_never_replays(self):
        cluster = os.path.join(os.path.dirname(__file__), "../../data/clusters/a100.json")  # instead of calibrating
        # The exchange that connects all, one run without overlap and one of each schedule come before it captures.
        self.ends(4, "ranks that have not", self.GRAPH + ["--timeout", "6", "--cluster", cluster], EP_EMU_ABSENT=8,
                  EP_EMU_FAULT_RANK=1)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
