"""Measured beside predicted as bars: steps, and strategies."""
import matplotlib.pyplot as plt
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from plotting.figure import BLACK, BLUE, ORANGE, PURPLE, Scale, head, name_of

MEASURED, PREDICTED = BLUE, ORANGE


def by_kind(row):
    """All parts of a step together: kind -> (parts, measured or None, predicted)."""
    kinds = {}
    for step in row["steps"]:
        parts, measured, predicted = kinds.get(step["kind"], (0, 0, 0))
        known = None if measured is None or step["measured_us"] is None else measured + step["measured_us"]
        kinds[step["kind"]] = (parts + 1, known, predicted + step["predicted_us"])
    return kinds


def pair_of_bars(axes, place, measured, predicted, scale, ends=("", ""), reach=0):
    """Measured above predicted, each with its time and what else there is to say behind it, and behind `reach`."""
    for offset, us, colour, end in ((-0.2, measured, MEASURED, ends[0]), (0.2, predicted, PREDICTED, ends[1])):
        if us is None:
            axes.text(0, place + offset, " no time", va="center", size=7)
            continue
        axes.barh(place + offset, us / scale.us, height=0.38, color=colour)
        edge = max(us, reach) if offset < 0 else us
        axes.text(edge / scale.us, place + offset, f" {scale.text(us)}{end}", va="center", size=7)


def error_of(measured, predicted):
    return f" ({100 * (predicted - measured) / measured:+.0f} %)" if measured else ""


def finish_bars(axes, names, scale, limits):
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(*limits)
    axes.set_xlabel(f"time, {scale.unit}")
    axes.xaxis.set_major_locator(MaxNLocator(5))


def pair_legend(figure):
    figure.legend(handles=[Patch(color=MEASURED, label="measured (median)"), Patch(color=PREDICTED, label="predicted")],
                  loc="upper right", ncols=2, frameon=False, bbox_to_anchor=(0.995, 1))


def draw_steps(report):
    rows = [(row, by_kind(row)) for row in report["rows"]]
    kinds = list(dict.fromkeys(kind for _, steps in rows for kind in steps))
    longest = max(max(measured or 0, predicted) for _, steps in rows for _, measured, predicted in steps.values())
    scale = Scale(longest)
    width, height = 1.3 + 2.75 * max(len(rows), 2), 0.36 * len(kinds) + 1.65
    figure, panels = plt.subplots(1, len(rows), sharex=True, sharey=True, squeeze=False, figsize=(width, height))
    top = head(figure, "Steps, measured and predicted", report)
    figure.subplots_adjust(left=0.85 / width, right=1 - 0.15 / width, top=top - 0.25 / height, bottom=0.5 / height,
                           wspace=0.08)
    for axes, (row, steps) in zip(panels[0], rows):
        for place, kind in enumerate(kinds):
            if kind in steps:
                parts, measured, predicted = steps[kind]
                pair_of_bars(axes, place, measured, predicted, scale,
                             (f" in {parts} parts" if parts > 1 else "", error_of(measured, predicted)))
        axes.set_title(name_of(row, report), loc="left")
        finish_bars(axes, kinds, scale, (0, 1.42 * longest / scale.us))
    pair_legend(figure)
    return figure


# --- strategies -------------------------------------------------------------------------------------------------------

def base_of(row, report):
    return next(other for other in report["rows"] if other["direction"] == row["direction"])


def speed_up(row, report, figure):
    base = base_of(row, report)
    return f"  {base[figure] / row[figure]:.2f}×" if row[figure] and base[figure] else ""


def draw_exposed(axes, rows, scale):
    """Communication that no compute hid; negative where compute ran faster beside it than by itself."""
    for place, row in enumerate(rows):
        if row["exposed_us"] is None:
            continue
        axes.barh(place, row["exposed_us"] / scale.us, height=0.5, color=PURPLE)
        text = f" {scale.text(row['exposed_us'])}"
        if row["overlap_efficiency"] is not None:
            text += f"  ({row['overlap_efficiency']:.2f}, {row['compute_interference']:.2f}×)"
        axes.text(max(0, row["exposed_us"]) / scale.us, place, text, va="center", size=7)
    axes.axvline(0, color=BLACK, linewidth=0.8)
    axes.spines["left"].set_visible(False)
    axes.set_title("exposed communication (efficiency, interference)", loc="left")


def exposed_limits(rows, scale):
    times = [0] + [row["exposed_us"] / scale.us for row in rows if row["exposed_us"] is not None]
    extent = (max(times) - min(times)) or 1
    return min(times) - (0.05 * extent if min(times) < 0 else 0), max(times) + 0.9 * extent


def draw_strategies(report):
    rows = report["rows"]
    overlap = any(row["exposed_us"] is not None for row in rows)
    reach = [row["ci_high_us"] or row["median_us"] or 0 for row in rows]  # of what is drawn as measured
    longest = max(reach + [row["predicted_us"] for row in rows])
    scale = Scale(longest)
    height = 0.5 * len(rows) + 1.75
    figure, panels = plt.subplots(1, 1 + overlap, squeeze=False, sharey=True, figsize=(11, height),
                                  gridspec_kw={"width_ratios": (3, 2)[: 1 + overlap]})
    top = head(figure, "Strategies: iteration time of the slowest rank", report)
    names = [name_of(row, report) for row in rows]
    # 0.075 inches a character of the names beside the bars.
    left = max(1.1, 0.35 + 0.075 * max(len(name) for name in names)) / 11
    figure.subplots_adjust(left=left, right=0.985, top=top - 0.25 / height, bottom=0.5 / height, wspace=0.06)
    for place, row in enumerate(rows):
        ends = (speed_up(row, report, "median_us"),
                speed_up(row, report, "predicted_us") + error_of(row["median_us"], row["predicted_us"]))
        pair_of_bars(panels[0, 0], place, row["median_us"], row["predicted_us"], scale, ends, reach[place])
        if row["ci_low_us"]:
            interval = row["ci_low_us"] / scale.us, row["ci_high_us"] / scale.us
            panels[0, 0].plot(interval, [place - 0.2] * 2, color=BLACK, linewidth=1.2, marker="|", markersize=4)
    panels[0, 0].set_title("iteration (line: 95 % interval of the median; ×: speed-up over the first)", loc="left")
    if overlap:
        draw_exposed(panels[0, 1], rows, scale)
        finish_bars(panels[0, 1], names, scale, exposed_limits(rows, scale))
    finish_bars(panels[0, 0], names, scale, (0, 1.3 * longest / scale.us))
    pair_legend(figure)
    return figure
