#!/usr/bin/env python3
"""The ReFrame check without ReFrame: the command it builds, and what it makes of a report and of exit codes.

Usage: reframe_test.py CHECK SCHEMA [unittest arguments]
"""
import importlib.util
import json
import os
import re
import sys
import tempfile
import types
import typing
import unittest

CHECK, SCHEMA = sys.argv.pop(1), sys.argv.pop(1)
REPORT = {"rows": [
    {"strategy": "sequential", "median_us": 120.0, "predicted_us": 100.0, "check": {"passed": True}},
    {"strategy": "overlapped", "median_us": 90.0, "predicted_us": 100.0, "check": {"passed": False}},
]}


class SanityError(Exception):
    pass


def require(holds, message):
    if not holds:
        raise SanityError(message)
    return True


def extract(pattern, path, tag=0):
    with open(path, encoding="utf-8") as file:
        return [match[tag] for match in re.finditer(pattern, file.read())]


def load_check():
    """The check's module on stand-ins that evaluate at once what ReFrame defers."""
    hook = lambda *_: lambda function: function
    modules = {
        "reframe": {"simple_test": lambda test: test, "RunOnlyRegressionTest": object},
        "reframe.utility": {},
        "reframe.utility.sanity": {
            "extractsingle": lambda *arguments: extract(*arguments)[0], "extractall": extract,
            "evaluate": lambda value: value, "defer": lambda value: value,
            "assert_eq": lambda a, b, message: require(a == b, message), "assert_true": require,
            "make_performance_function": lambda value, unit: (value, unit)},
        "reframe.utility.typecheck": {"List": typing.List},
        "reframe.core": {},
        "reframe.core.builtins": {
            "parameter": lambda values: values, "variable": lambda _, value=None: value, "run_after": hook,
            "run_before": hook, "sanity_function": lambda function: function},
    }
    for name, members in modules.items():
        sys.modules[name] = types.ModuleType(name)
        vars(sys.modules[name]).update(members)
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, sys.modules[name])
    spec = importlib.util.spec_from_file_location("epbench_check", CHECK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.EpbenchCheck


sys.dont_write_bytecode = True
EpbenchCheck = load_check()


class Check(unittest.TestCase):
    def check(self, strategy, code="0", said=""):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        check = EpbenchCheck()
        check.strategy, check.stagedir = strategy, folder.name
        for name, text in (("result.json", json.dumps(REPORT)), ("stdout", f"table\nepbench exit code: {code}\n"),
                           ("stderr", said)):
            with open(os.path.join(folder.name, name), "w", encoding="utf-8") as file:
                file.write(text)
        check.stdout, check.stderr = (os.path.join(folder.name, name) for name in ("stdout", "stderr"))
        return check

    def test_is_a_test_for_each_strategy(self):
        self.assertEqual(EpbenchCheck.strategy, ["sequential", "overlapped"])

    def test_command(self):
        check = self.check("overlapped")
        check.fail_above, check.cluster, check.arguments = 1.3, "here.json", ["--tokens", "4096"]
        check.set_command()
        self.assertTrue(os.path.isabs(check.executable))
        self.assertEqual(check.executable_opts,
                         ["run", "--strategy", "overlapped", "--fail-above", "1.3", "--json", "result.json",
                          "--cluster", os.path.abspath("here.json"), "--tokens", "4096"])
        self.assertEqual(check.postrun_cmds, ['echo "epbench exit code: $?"'])

    def test_without_a_cluster_file_the_job_calibrates(self):
        check = self.check("sequential")
        check.set_command()
        self.assertNotIn("--cluster", check.executable_opts)

    def test_figures_are_those_of_its_own_row(self):
        check = self.check("sequential")
        check.set_figures()
        self.assertEqual(check.perf_variables,
                         {"measured": (120.0, "us"), "predicted": (100.0, "us"), "ratio": (1.2, "x")})
        self.assertEqual(check.reference, {"*": {"ratio": (1.0, None, 0.2, "x")}})

    def test_what_ends_well_passes(self):
        self.assertTrue(self.check("sequential").ended_well())

    def test_slower_than_allowed_fails_with_what_was_said(self):
        said = "epbench: --fail-above 1.2: sequential, forward: dispatch took 1.50 times its prediction"
        with self.assertRaisesRegex(SanityError, r"exit code 7, wrong data, or slower .*dispatch took 1\.50 times"):
            self.check("sequential", "7", said).ended_well()

    def test_wrong_results_fail(self):
        with self.assertRaisesRegex(SanityError, "not checked"):
            self.check("overlapped").ended_well()

    def test_reports_have_the_fields_it_reads(self):
        with open(SCHEMA, encoding="utf-8") as file:
            row = json.load(file)["$defs"]["row"]
        for canned in REPORT["rows"]:
            self.assertLessEqual(set(canned), set(row["required"]))


if __name__ == "__main__":
    unittest.main()
