"""What the figures share: reading a report, colours, units, the head that says what was run."""
import json
import pathlib

import matplotlib

matplotlib.use("Agg")  # needs no display

# Okabe and Ito's palette ("Color Universal Design", 2008), which colour-blind readers can tell apart.
BLACK, ORANGE, SKY, GREEN, BLUE, RED, PURPLE = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7")
GREY = "#BBBBBB"

matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "epbench", "font.size": 8, "axes.titlesize": 9,
                            "hatch.linewidth": 0.6, "axes.spines.top": False, "axes.spines.right": False})


class InputError(Exception):
    """What is wrong with the file or the command line."""


class Scale:
    """One unit of time for a whole figure."""

    def __init__(self, longest_us):
        self.unit, self.us = ("ms", 1e3) if longest_us >= 1e4 else ("µs", 1)

    def text(self, us):
        value = us / self.us
        return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def read_report(path):
    try:
        report = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error})") from error
    if not isinstance(report, dict) or "schema_version" not in report:
        raise InputError(f"{path}: not a report of epbench run --json")
    if report["schema_version"] != 1:
        raise InputError(f"{path}: schema_version {report['schema_version']}: this program reads 1")
    if not report.get("rows"):
        raise InputError(f"{path}: no rows: nothing was measured or predicted")
    return report


def name_of(row, report):
    directions = {other["direction"] for other in report["rows"]}
    return row["strategy"] if len(directions) == 1 else f"{row['strategy']}, {row['direction']}"


def problem_of(report):
    """Two lines that say what the figure is of."""
    row, config, provenance = report["rows"][0], report["config"], report["provenance"]
    place = f"{row['ranks']} ranks on {row['nodes']} node{'s' if row['nodes'] != 1 else ''}"
    machine = [place, f"{row['device']} device", f"{row['exchange']} exchange", provenance.get("cpu", "")]
    problem = [f"{name} {config[name]}" for name in ("tokens", "hidden", "ffn", "shared-ffn", "experts", "topk", "routing")
               if name in config]
    mark = "EMULATED, says nothing about a GPU: " if report["emulated"] else ""
    return mark + ", ".join(part for part in machine if part) + "\n" + ", ".join(problem)


def head(figure, title, report):
    """Title at the top left and, below it, what was run; returns the share of the height that is left for the axes."""
    height = figure.get_figheight()
    figure.text(0.15 / figure.get_figwidth(), 1 - 0.1 / height, title, va="top", size=11, weight="bold")
    figure.text(0.15 / figure.get_figwidth(), 1 - 0.36 / height, problem_of(report), va="top", color="#444444")
    return 1 - 0.75 / height
