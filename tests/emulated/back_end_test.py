"""Runs epbench on emulated GPUs to see which device and exchange it takes, how it starts and tunes them, and what it says
of that.

Usage: back_end_test.py EPBENCH MPIRUN...
"""

import json
import os
import subprocess
import sys
import tempfile
import unittest

from epbench_support import EPBENCH, MPIRUN, SMALL, run


class Start(unittest.TestCase):
    def test_cuda_finds_its_environment_ready(self):
        """Before MPI_Init, and whatever the caller's environment says of loading kernels."""
        for aware in (0, 1):
            done = run(["--device", "cuda", "--exchange", "mpi"], 2, EP_EMU_CUDA_AWARE=aware, CUDA_MODULE_LOADING="LAZY")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertNotIn("late-environment", done.stderr)


class Sharing(unittest.TestCase):
    """Which ranks have a GPU of their own is told by the GPUs' UUIDs."""
    MARK = "ranks share a GPU: their times are time-sliced"

    def assert_ran(self, done, path, exchange, marked):
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(path, encoding="utf-8") as file:
            report = json.load(file)
        self.assertEqual({(row["exchange"], row["status"]) for row in report["rows"]}, {(exchange, "ok")})
        self.assertEqual(report["notes"].count(self.MARK), int(marked))
        self.assertEqual(self.MARK in " ".join(done.stdout.replace("#", "").split()), marked)

    def test_shared_gpus_are_marked_and_refused_to_nccl(self):
        for shared in ({"EP_EMU_DEVICES": 1}, {"EP_EMU_DEVICES": 2, "EP_EMU_UUIDS": "same,same"}):
            with self.subTest(shared=shared), tempfile.TemporaryDirectory() as folder:
                done = run(["--device", "cuda", "--exchange", "nccl"], 2, **shared)
                self.assertEqual(done.returncode, 5, done.stderr)
                self.assertIn("use --exchange mpi", done.stderr)
                path = os.path.join(folder, "out.json")
                self.assert_ran(run(["--device", "cuda", "--json", path], 2, **shared), path, "mpi", True)

    def test_one_visible_gpu_a_task(self):
        """Both ranks use number 0, which is another GPU for each."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "out.json")
            command = [EPBENCH, "run", *SMALL, "--device", "cuda", "--exchange", "nccl", "--json", path]
            ranks = ["-n", "1", "-x", "CUDA_VISIBLE_DEVICES=2", *command, ":", "-n", "1", "-x", "CUDA_VISIBLE_DEVICES=5",
                     *command]
            done = subprocess.run(MPIRUN + ranks, capture_output=True, text=True, timeout=280, check=False)
            self.assert_ran(done, path, "nccl", False)


class NoGpu(unittest.TestCase):
    def test_says_why(self):
        for devices, reason in ((0, "no CUDA-capable device"), (-1, "driver")):
            with self.subTest(devices=devices):
                done = run(["--device", "cuda"], 2, EP_EMU_DEVICES=devices)
                self.assertEqual(done.returncode, 5, done.stderr)
                self.assertIn(reason, done.stderr)
        done = run(["--device", "auto"], 1, EP_EMU_DEVICES=0)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("--device auto takes the cpu", done.stderr)


class Tuning(unittest.TestCase):
    def notes(self, arguments, **variables):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "out.json")
            done = run(["--device", "cuda", *arguments, "--json", path], 2, **variables)
            self.assertEqual(done.returncode, 0, done.stderr)
            with open(path, encoding="utf-8") as file:
                report = json.load(file)
        self.assertTrue(all(row["check"]["passed"] for row in report["rows"]))
        return report["notes"], [step["name"] for row in report["rows"] for step in row["steps"]]

    def test_sms_registration_and_cached_plan(self):
        notes, steps = self.notes(["--nccl-ctas", "8", "--gemm-sms", "2", "--register", "--plan", "cached"])
        self.assertIn("SMs: GEMMs take 2, NCCL's thread blocks 8", notes)
        self.assertIn("registering the exchange's buffers with NCCL was granted", notes)
        self.assertIn("dispatch", steps)
        self.assertNotIn("counts", steps)
        notes, steps = self.notes(["--register"], EP_EMU_REFUSE_REGISTRATION=1)
        self.assertIn("registering the exchange's buffers with NCCL was refused", notes)
        self.assertIn("counts", steps)

    def test_refused_where_it_would_do_nothing_or_cannot(self):
        for arguments in (["--exchange", "mpi", "--nccl-ctas", "4"], ["--exchange", "mpi", "--register"],
                          ["--gemm-sms", "100000"], ["--dispatch-dtype", "fp8", "--hidden", "40"]):
            with self.subTest(arguments=arguments):
                done = run(["--device", "cuda", *arguments], 2)
                self.assertEqual(done.returncode, 5, done.stderr)
                lines = [line for line in done.stderr.splitlines() if line.startswith("epbench:")]
                self.assertEqual(len(lines), 1, done.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
