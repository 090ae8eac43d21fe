"""What the tests of `epbench run` share: one command line, one folder a test.

Arguments of each: EPBENCH SCHEMA MPIRUN...
"""

import json
import os
import subprocess
import sys
import tempfile
import unittest

EPBENCH, SCHEMA, MPIRUN = sys.argv[1], sys.argv[2], sys.argv[3:]
SMALL = ["--tokens", "24", "--hidden", "64", "--ffn", "32", "--shared-ffn", "32", "--experts", "7", "--topk", "2",
         "-w", "1", "-n", "4", "--time-limit", "0.2"]


def run(arguments, ranks=2, cwd=None):
    command = MPIRUN + ["-n", str(ranks), EPBENCH, "run"] + arguments
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, content):
        with open(self.path(name), "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
        return self.path(name)

    def report(self, arguments, ranks=2):
        done = run(arguments + ["--json", self.path("out.json")], ranks)
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(self.path("out.json"), encoding="utf-8") as file:
            return json.load(file)
