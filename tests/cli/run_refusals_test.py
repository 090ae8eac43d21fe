"""Gives `epbench run` what it must refuse: exit codes, one message each. Arguments: see run_support.py."""

import os
import subprocess
import sys
import unittest

from run_support import EPBENCH, MPIRUN, SMALL, Folder, run


class BadInput(Folder):
    def rejects(self, arguments, *fragments, ranks=2):
        with self.subTest(arguments=arguments):
            done = run(arguments + ["--json", self.path("out.json")], ranks)
            self.assertEqual(done.returncode, 6, done.stderr)
            lines = [line for line in done.stderr.splitlines() if line.startswith("epbench:")]
            self.assertEqual(len(lines), 1, done.stderr)
            for fragment in fragments:
                self.assertIn(fragment, lines[0])
            self.assertFalse(os.path.exists(self.path("out.json")))

    def test_options(self):
        self.rejects(["--nonsense"], "--nonsense")
        self.rejects(["--tokens", "0"], "--tokens", "0")
        self.rejects(["--tokens", "99999999999G"], "--tokens", "99999999999")
        self.rejects(["--tokens", "64G"], "--tokens")
        self.rejects(["--hidden", "-4"], "--hidden", "-4")
        self.rejects(["--topk", "9", "--experts", "8"], "9", "8")
        self.rejects(["--strategy", "sequential,fast"], "--strategy", "fast")
        self.rejects(["--direction", "sideways"], "--direction", "sideways")
        self.rejects(["--strategy", "overlapped+defer-dw"], "--strategy", "--direction")
        self.rejects(["--exchange-algorithm", "magic"], "--exchange-algorithm", "magic")
        self.rejects(["--window-in-node", "12x"], "--window-in-node", "12x")
        self.rejects(["--window-in-node", "dircet"], "--window-in-node", "dircet", "wanted direct")
        self.rejects(["--dispatch-dtype", "int4"], "--dispatch-dtype", "int4")
        self.rejects(["--combine-dtype", "fp8"], "--combine-dtype", "fp32 or bf16")
        self.rejects(["--time-limit", "0"], "--time-limit", "0")
        self.rejects(["--timeout", "-1"], "--timeout", "-1")
        self.rejects(["--plan", "guessed"], "--plan", "guessed")
        self.rejects(["--mpi-buffers", "host"], "--mpi-buffers", "host")
        self.rejects(["--cuda-graph"], "--cuda-graph", "--plan cached")
        self.rejects(["--routing", "lognormal:x"], "lognormal", "x")
        self.rejects(["--placement", "/nowhere.json"], "/nowhere.json")
        self.rejects(["--hidden", "64M", "--tokens", "64K"], "memory")
        # Only one of the ranks' buffers overflows; then only their sum.
        shape = ["--hidden", "1M", "--ffn", "1G", "--shared-ffn", "0", "--topk", "1", "--tokens", "1"]
        self.rejects(shape + ["--experts", "2047"], "size")
        self.rejects(shape + ["--experts", "2046"], "memory")

    def test_gpu_options_on_the_cpu(self):
        for option in (["--nccl-ctas", "4"], ["--register"], ["--gemm-sms", "4"], ["--cuda-graph", "--plan", "cached"],
                       ["--mpi-buffers", "pinned"]):
            done = run(["--device", "cpu"] + option)
            self.assertEqual(done.returncode, 5, done.stderr)
            lines = [line for line in done.stderr.splitlines() if line.startswith("epbench:")]
            self.assertEqual(len(lines), 1, done.stderr)
            self.assertIn(option[0], lines[0])

    def test_routing_files(self):
        self.rejects(["--routing", self.path("missing.npy")], "missing.npy")
        self.rejects(["--routing", self.write("short.npy", b"\x93NUMPY")], "short.npy")
        self.rejects(["--routing", self.write("bad.jsonl", "[0, 1]\n[0, 0]\n")], "bad.jsonl")
        self.rejects(["--routing", self.write("range.jsonl", "[0, 99]\n"), "--experts", "8"], "range.jsonl", "99")
        self.rejects(["--routing", self.write("text.jsonl", "[0, \"a\"]\n")], "text.jsonl")
        self.rejects(["--routing", self.write("few.jsonl", "[0, 1]\n"), "--tokens", "8"], "few.jsonl")

    def test_output_that_cannot_be_written(self):
        for launches in ([], ["--launches", "2"]):
            done = run(SMALL + launches + ["--json", self.path("no/such/folder.json")])
            self.assertEqual(done.returncode, 6, done.stderr)
            lines = [line for line in done.stderr.splitlines() if line.startswith("epbench:")]
            self.assertEqual(len(lines), 1, done.stderr)
            self.assertIn("no/such/folder.json", lines[0])

    def test_ranks_given_different_arguments(self):
        one = ["-n", "1", EPBENCH, "run", "--tokens", "8"]
        other = ["-n", "1", EPBENCH, "run", "--tokens", "16"]
        done = subprocess.run(MPIRUN + one + [":"] + other, capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(done.returncode, 6, done.stderr)
        lines = [line for line in done.stderr.splitlines() if line.startswith("epbench:")]
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertIn("--tokens", lines[0])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
