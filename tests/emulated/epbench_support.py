"""What the tests of epbench on emulated GPUs share.

Arguments of each: EPBENCH MPIRUN...
"""

import os
import subprocess
import sys

EPBENCH, MPIRUN = sys.argv[1], sys.argv[2:]
SMALL = ["--tokens", "12", "--hidden", "64", "--ffn", "16", "--shared-ffn", "16", "--experts", "8", "--topk", "2",
         "-w", "1", "-n", "2", "--time-limit", "0.5"]


def run(arguments, ranks, **variables):
    # Wherever the emulator finds CUDA started before the environment is ready for it, the run fails.
    environment = dict(os.environ, EP_EMU_EXPECT_EAGER="1", **{name: str(value) for name, value in variables.items()})
    command = MPIRUN + ["-n", str(ranks), EPBENCH, "run"] + SMALL + arguments
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)
