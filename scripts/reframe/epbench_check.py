"""ReFrame check of a cluster: an expert-parallel layer must not run slower than the cost model allows.

    reframe -C SITE_SETTINGS -c scripts/reframe/epbench_check.py -r -S num_tasks=16 -S num_tasks_per_node=8 \\
        -S cluster=here.json

Variables (-S NAME=VALUE): program, cluster, fail_above, arguments, and ReFrame's own (num_tasks, num_gpus_per_node,
...). `cluster` is a file that `epbench calibrate` wrote while the machine was well. Without one each job calibrates
itself, and predicts what it then measures from links that may have become slow. Each strategy is one test; time,
prediction and their ratio are its performance figures.
"""

import json
import os

import reframe as rfm
import reframe.utility.sanity as sn
import reframe.utility.typecheck as typ
from reframe.core.builtins import parameter, run_after, run_before, sanity_function, variable

EXIT_CODES = {
    "1": "internal error or failed launch", "2": "CUDA error", "3": "NCCL or MPI error", "4": "time-out",
    "5": "not supported here", "6": "bad arguments", "7": "wrong data, or slower than predicted by more than allowed",
}


@rfm.simple_test
class EpbenchCheck(rfm.RunOnlyRegressionTest):
    """One strategy of `epbench run`, held against its own prediction."""

    program = variable(str, value=os.path.join(os.path.dirname(__file__), "..", "..", "build", "epbench"))
    cluster = variable(str, value="")
    fail_above = variable(float, value=1.2)
    arguments = variable(typ.List[str], value=[])
    strategy = parameter(["sequential", "overlapped"])

    descr = "Expert-parallel layer, measured against predicted"
    valid_systems = ["*"]
    valid_prog_environs = ["*"]
    num_tasks = 2
    time_limit = "10m"
    maintainers = []

    @run_after("setup")
    def set_command(self):
        """Builds the command; the exit code goes into the output, since not every scheduler hands it back."""
        self.executable = os.path.abspath(self.program)
        # The job runs in a folder of its own, where a relative path leads nowhere.
        cluster = ["--cluster", os.path.abspath(self.cluster)] if self.cluster else []
        self.executable_opts = ["run", "--strategy", self.strategy, "--fail-above", str(self.fail_above),
                                "--json", "result.json", *cluster, *self.arguments]
        self.postrun_cmds = ['echo "epbench exit code: $?"']
        self.keep_files = ["result.json"]

    def row(self):
        """The row of this strategy in the JSON."""
        with open(os.path.join(self.stagedir, "result.json"), encoding="utf-8") as file:
            return next(row for row in json.load(file)["rows"] if row["strategy"] == self.strategy)

    @sanity_function
    def ended_well(self):
        """Exit code 0, and a result that was checked and is right."""
        code = sn.extractsingle(r"epbench exit code: (\d+)", self.stdout, 1)
        said = sn.extractall(r".*epbench: .*", self.stderr)
        sn.evaluate(sn.assert_eq(code, "0", f"exit code {code}, {EXIT_CODES.get(str(code), 'unknown')}: {said}"))
        return sn.assert_true(self.row()["check"]["passed"], "the result was not checked")

    @run_before("performance")
    def set_figures(self):
        """Figures from the columns of the row; the ratio has a bound, the times are for the record."""
        row = self.row()
        ratio = row["median_us"] / row["predicted_us"]
        self.perf_variables = {
            "measured": sn.make_performance_function(sn.defer(row["median_us"]), "us"),
            "predicted": sn.make_performance_function(sn.defer(row["predicted_us"]), "us"),
            "ratio": sn.make_performance_function(sn.defer(ratio), "x"),
        }
        self.reference = {"*": {"ratio": (1.0, None, round(self.fail_above - 1.0, 6), "x")}}
