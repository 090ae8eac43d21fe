"""Stops or kills a rank of `epbench run` in the middle: the job must end by itself, say who is missing, and keep what it
had measured.

Usage: hang_test.py EPBENCH DEVICE TESTS MPIRUN...
DEVICE: options of `epbench run`, in one word. TESTS: methods of Hang, in one word; empty: all.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest

EPBENCH, DEVICE, TESTS, MPIRUN = sys.argv[1], sys.argv[2].split(), sys.argv[3].split(), sys.argv[4:]
RANKS = 4
TIMEOUT_S = 10  # more than any step takes on a busy machine
SLACK_S = 40    # for starting to end, on the same
# It never converges and has more time than the test.
ENDLESS = [*DEVICE, "--tokens", "8", "--hidden", "32", "--ffn", "16", "--shared-ffn", "16", "--experts", "8",
           "--topk", "2", "-n", "100000000", "--time-limit", "10000", "--timeout", str(TIMEOUT_S)]


def ranks_of(mpirun):
    """Process ids of the local ranks of a running mpirun, by rank."""
    found = {}
    with open(f"/proc/{mpirun}/task/{mpirun}/children", encoding="ascii") as file:
        children = file.read().split()
    for child in children:
        try:
            with open(f"/proc/{child}/environ", "rb") as file:
                variables = dict(part.partition(b"=")[::2] for part in file.read().split(b"\0"))
        except OSError:
            continue
        if b"OMPI_COMM_WORLD_RANK" in variables:
            found[int(variables[b"OMPI_COMM_WORLD_RANK"])] = int(child)
    return found


class Hang(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.json = os.path.join(folder.name, "out.json")

    def strike(self, rank, number, delay_s, mpirun_options=()):
        """Sends signal `number` to a rank after `delay_s`; returns exit code, standard error, seconds until the end."""
        command = MPIRUN + list(mpirun_options) + ["-n", str(RANKS), EPBENCH, "run"] + ENDLESS + ["--json", self.json]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as job:
            try:
                time.sleep(delay_s)
                while len(ranks_of(job.pid)) < RANKS:
                    self.assertIsNone(job.poll(), "the job ended by itself")
                    time.sleep(0.1)
                struck = time.monotonic()
                os.kill(ranks_of(job.pid)[rank], number)
                errors = job.communicate(timeout=TIMEOUT_S + SLACK_S)[1]
            except BaseException:
                job.kill()
                raise
        return job.returncode, errors, time.monotonic() - struck

    def strike_while_measuring(self, *arguments, **options):
        """Later and later, until the job had got so far as to have rows."""
        for delay_s in (4, 8, 16, 32):
            code, errors, seconds = self.strike(*arguments, delay_s=delay_s, **options)
            if os.path.exists(self.json):
                with open(self.json, encoding="utf-8") as file:
                    report = json.load(file)
                if report["rows"]:
                    return code, errors, seconds, report
        return self.fail("no rows were kept:\n" + errors)

    def assert_kept(self, report, why):
        for row in report["rows"]:
            self.assertEqual(row["status"], "ok")
            self.assertFalse(row["converged"])
            self.assertGreater(row["median_us"], 0)
        self.assertTrue(any(why in note for note in report["notes"]), report["notes"])

    def test_stopped_rank(self):
        code, errors, _, report = self.strike_while_measuring(2, signal.SIGSTOP)
        self.assertEqual(code, 4, errors)
        for rank in (0, 1, 3):
            self.assertRegex(errors, rf"epbench: rank {rank} on .*: no end after {TIMEOUT_S} s of ")
        self.assertIn("ranks that have not reported: 2\n", errors)
        self.assert_kept(report, "time-out")

    def test_stopped_rank_zero(self):
        code, errors, _ = self.strike(0, signal.SIGSTOP, delay_s=4)
        self.assertEqual(code, 4, errors)
        self.assertIn("ranks that have not reported: 0\n", errors)

    def test_killed_rank(self):
        """mpirun ends the others, and its exit code is the killed rank's."""
        code, errors, seconds, report = self.strike_while_measuring(2, signal.SIGKILL)
        self.assertEqual(code, 128 + signal.SIGKILL, errors)
        self.assertLess(seconds, TIMEOUT_S)
        self.assert_kept(report, "signal")

    def test_killed_rank_under_a_launcher_that_lets_the_others_live(self):
        code, errors, _, report = self.strike_while_measuring(
            2, signal.SIGKILL, mpirun_options=["--mca", "orte_abort_on_non_zero_status", "0"])
        self.assertIn(code, (4, 128 + signal.SIGKILL), errors)
        self.assertIn("ranks that have not reported: 2\n", errors)
        self.assert_kept(report, "time-out")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + [f"Hang.{test}" for test in TESTS], verbosity=2)
