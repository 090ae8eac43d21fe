#!/usr/bin/env python3
"""Checks `epbench cost` against the formula written out in Python, and its answers to bad input.

Usage: cost_test.py EPBENCH [unittest arguments]
"""
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest

EPBENCH = sys.argv.pop(1)


def expected(case):
    """The closed form, as plainly as it can be said."""
    homes = case["expert_to_gpu"]
    local = remote = 0
    for experts, gpu in zip(case["token_assignments"], case["token_to_gpu"]):
        for expert in experts:
            home = homes[expert] if isinstance(homes, list) else homes[str(expert)]
            local += home == gpu
            remote += home != gpu
    size = remote * case["token_hidden_bytes"]
    time_ms = size / (case["bandwidth_gbps"] * 1e9 / 8) * 1000
    return {"local_tokens": local, "remote_tokens": remote, "total_remote_bytes": size,
            "comm_time_ms": round(time_ms, 4)}


def run(text, *arguments):
    data = text if isinstance(text, bytes) else text.encode()
    return subprocess.run([EPBENCH, "cost", *(arguments or ("--input", "-"))], input=data, capture_output=True,
                          timeout=60, check=False)


def random_case(rng):
    gpus, experts = rng.randint(1, 9), rng.randint(1, 40)
    tokens = rng.randint(0, 60)
    homes = [rng.randrange(gpus) for _ in range(experts)]
    return {"token_assignments": [[rng.randrange(experts) for _ in range(rng.randint(0, 6))] for _ in range(tokens)],
            "expert_to_gpu": homes if rng.random() < 0.5 else {str(e): gpu for e, gpu in enumerate(homes)},
            "token_to_gpu": [rng.randrange(gpus) for _ in range(tokens)],
            "token_hidden_bytes": rng.choice([0, 1, 25, 8192, 14336, rng.randrange(2**40)]),
            "bandwidth_gbps": rng.choice([1, 8, 25, 100, 400.0, 0.3, 0.008, rng.uniform(1e-3, 1e4)])}


def one_remote(size, bandwidth):
    return {"token_assignments": [[0]], "expert_to_gpu": [1], "token_to_gpu": [0], "token_hidden_bytes": size,
            "bandwidth_gbps": bandwidth}


class Cost(unittest.TestCase):
    def assert_prints(self, case):
        result = run(json.dumps(case))
        self.assertEqual((result.returncode, result.stderr), (0, b""), case)
        self.assertEqual(result.stdout.decode(), json.dumps(expected(case)) + "\n", case)

    def assert_refused(self, text, *parts, source="standard input"):
        result = run(text)
        self.assertEqual((result.returncode, result.stdout), (6, b""), text[:200])
        message = result.stderr.decode()
        self.assertEqual(message.count("\n"), 1, message)
        for part in (source, *parts):
            self.assertIn(part, message)

    def test_random_routings(self):
        rng = random.Random(1)
        for _ in range(100):
            self.assert_prints(random_case(rng))

    def test_rounding_at_ties(self):
        # At 8 Gbit/s a byte takes 1e-6 ms: these end in a 5 that is, in binary, above, below or on the tie.
        for size in (50, 150, 250, 350, 450, 31250, 93750, 156250, 2675000, 99995, 10**18 + 50):
            self.assert_prints(one_remote(size, 8))

    def test_wide_numbers(self):
        self.assert_prints(one_remote(2**63 - 1, 1e-9))
        self.assert_prints(one_remote(2**63 - 1, 1e308))
        self.assert_prints(one_remote(1, 10**30))

    def test_file_and_help(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "in.json")
            path.write_text(json.dumps(one_remote(8192, 100)))
            self.assertEqual(run("", "--input", str(path)).stdout, run(path.read_text()).stdout)
            path.write_text("{")
            refused = run("", "--input", str(path))
            self.assertEqual(refused.returncode, 6)
            self.assertIn(str(path), refused.stderr.decode())
            missing = run("", "--input", str(path) + ".absent")
            self.assertEqual(missing.returncode, 6)
            self.assertIn(".absent", missing.stderr.decode())
            self.assertEqual(run("", "--input", folder).returncode, 6)
        self.assertEqual(run("", "--help").returncode, 0)
        self.assertEqual(run("", "--inptu", "-").returncode, 6)
        self.assertEqual(run("", "--input").returncode, 6)

    def test_endless_input_is_refused(self):
        self.assertEqual(run("", "--input", "/dev/zero").returncode, 6)

    def test_broken_text(self):
        good = json.dumps(one_remote(8192, 100))
        for text in ("", "  \n", "{", good[:-1], good + "x", good + good, "[]", "null", good + "\0", "[" * 100000):
            self.assert_refused(text)
        self.assert_refused(b"\xff\xfe" + good.encode())
        self.assert_refused(good.replace("{", "{\"token_to_gpu\": [0], ", 1), "token_to_gpu", "twice")

    def test_bad_fields(self):
        for field in one_remote(1, 1):
            case = one_remote(1, 1)
            del case[field]
            self.assert_refused(json.dumps(case), field)
            for value in (None, True, "x", -1, {"a": 1}, [[[]]]):
                self.assert_refused(json.dumps({**case, field: value}), field)
        for bandwidth in (0, -1, float("nan"), float("inf"), 5e-324):
            self.assert_refused(json.dumps(one_remote(2**60, bandwidth)), "bandwidth_gbps")
        self.assert_refused(json.dumps(one_remote(2**63, 1)), "token_hidden_bytes", str(2**63))
        self.assert_refused(json.dumps({**one_remote(2**62, 1), "token_assignments": [[0, 0]]}),
                            "token_hidden_bytes", str(2**62))
        self.assert_refused(json.dumps({**one_remote(1, 1), "token_assignments": [[1]]}), "token_assignments[0]", "1")
        self.assert_refused(json.dumps({**one_remote(1, 1), "token_to_gpu": [0, 0]}), "token_to_gpu")
        self.assert_refused(json.dumps({**one_remote(1, 1), "extra": 0}), "extra")


if __name__ == "__main__":
    unittest.main()
