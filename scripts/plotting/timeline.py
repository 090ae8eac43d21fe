"""When each step ran: a lane for each stream of each rank, measured above predicted."""
import matplotlib.pyplot as plt
from matplotlib.patches import Patch

from plotting.figure import BLACK, BLUE, GREEN, GREY, ORANGE, RED, SKY, InputError, Scale, head, name_of

LANES = ("host", "compute", "comm")
HALVES = ("measured", "predicted")
MOST_RANKS = 4  # unless asked for others: more would not be legible


def group_of(step):
    """What a step is to the eye: (legend, colour)."""
    kind, stream = step["kind"], step["stream"]
    if stream == "comm":
        return ("combine", ORANGE) if kind.startswith("combine") else ("dispatch", RED)
    if stream == "host":
        return "host (counts)", BLACK
    if kind.startswith("shared"):
        return "shared expert", GREEN
    if kind.startswith(("gate_up", "down", "swiglu")):
        return "experts", BLUE
    return "moving rows", SKY


def timeline_rows(report, wanted):
    """The first strategy and the fastest of the others, or those asked for."""
    rows = [row for row in report["rows"] if row["timeline"]["measured"] or row["timeline"]["predicted"]]
    if not rows:
        raise InputError("the report holds no timeline")
    if wanted:
        known = {name_of(row, report): row for row in rows} | {row["strategy"]: row for row in rows}
        if missing := [name for name in wanted if name not in known]:
            raise InputError(f"--timeline {missing[0]}: the report has {', '.join(row['strategy'] for row in rows)}")
        return [known[name] for name in wanted]
    others = [row for row in rows[1:] if row["direction"] == rows[0]["direction"]]
    return rows[:1] + sorted(others, key=lambda row: row["median_us"] or row["predicted_us"])[:1]


def draw_span(axes, span, step, lane, scale, half, last_start):
    """One step of one rank; hatched while an exchange waits for its last rank."""
    start, end = span["start_us"] / scale.us, span["end_us"] / scale.us
    working = start if step["stream"] == "compute" else min(max(start, last_start / scale.us), end)
    colour = group_of(step)[1]
    if working > start:
        axes.barh(lane, working - start, left=start, height=0.8, facecolor="white", edgecolor=colour, hatch="////",
                  linewidth=0.5)
    left, right = axes.transData.transform([(working, 0), (end, 0)])[:, 0]
    axes.barh(lane, end - working, left=working, height=0.8, facecolor=colour, edgecolor="white",
              linewidth=0.4 if right - left > 4 else 0,  # of a narrow bar the edge would leave nothing
              alpha=1 if half == "measured" else 0.75)
    text = axes.text((working + end) / 2, lane, step["name"], ha="center", va="center", size=6.5,
                     color="white" if colour in (BLUE, BLACK, RED, GREEN) else "black")
    if text.get_window_extent().width > 0.95 * (right - left):
        text.remove()


def draw_lanes(axes, row, half, ranks, scale, uncertainty_us):
    spans = row["timeline"][half] or []
    if not spans:
        axes.set_yticks([])
        axes.text(0.5, 0.5, f"no times: {row['status']}", transform=axes.transAxes, ha="center", va="center")
        return
    steps = {step["id"]: step for step in row["steps"]}
    used = [lane for lane in LANES if any(span["stream"] == lane for span in spans)]
    lanes = {(rank, lane): i for i, (rank, lane) in enumerate((rank, lane) for rank in ranks for lane in used)}
    axes.set_yticks(list(lanes.values()), [f"rank {rank} {lane}" if lane == used[0] else lane for rank, lane in lanes],
                    size=7)
    axes.set_ylim(len(lanes) - 0.4, -0.6)
    last_start = {}
    for span in spans:
        last_start[span["step"]] = max(last_start.get(span["step"], 0), span["start_us"])
    for rank in ranks:
        first = min((span for span in spans if span["rank"] == rank), key=lambda span: span["start_us"], default=None)
        if half == "measured" and first and first["start_us"] > uncertainty_us:
            axes.barh(lanes[rank, first["stream"]], first["start_us"] / scale.us, height=0.8, facecolor="white",
                      edgecolor=GREY, hatch="....", linewidth=0.5)
    for span in spans:
        if span["rank"] in ranks:
            draw_span(axes, span, steps[span["step"]], lanes[span["rank"], span["stream"]], scale, half,
                      last_start[span["step"]])
    for rank in ranks[1:]:
        axes.axhline(lanes[rank, used[0]] - 0.5, color=GREY, linewidth=0.6)


def draw_timeline(report, options):
    rows = timeline_rows(report, options.timeline)
    ranks = options.ranks or list(range(rows[0]["ranks"]))[:MOST_RANKS]
    if missing := [rank for rank in ranks if not 0 <= rank < rows[0]["ranks"]]:
        raise InputError(f"--ranks {missing[0]}: the report has ranks 0 to {rows[0]['ranks'] - 1}")
    ends = [span["end_us"] for row in rows for half in HALVES for span in row["timeline"][half] or []]
    scale = Scale(max(ends))
    panel = 0.17 * 3 * len(ranks) + 0.35
    height = panel * 2 * len(rows) + 1.7
    figure, panels = plt.subplots(2 * len(rows), 1, sharex=True, squeeze=False, figsize=(11, height))
    title = "When each step ran" + ("" if len(ranks) == rows[0]["ranks"] else f" (ranks {', '.join(map(str, ranks))})")
    figure.subplots_adjust(left=0.095, right=0.985, top=head(figure, title, report) - 0.12 / height, bottom=0.78 / height,
                           hspace=0.35 / panel)
    panels[-1, 0].set_xlim(0, 1.01 * max(ends) / scale.us)
    for i, row in enumerate(rows):
        for j, half in enumerate(HALVES):
            axes = panels[2 * i + j, 0]
            draw_lanes(axes, row, half, ranks, scale, report["clock"]["uncertainty_us"] or 0)
            length = row["median_us"] if half == "measured" else row["predicted_us"]
            time = f": {scale.text(length)} {scale.unit}" if length else ""
            axes.set_title(f"{name_of(row, report)}, {half}{time}", loc="left", pad=3)
            if length:
                axes.axvline(length / scale.us, color=BLACK, linewidth=0.8, linestyle=":")
    panels[-1, 0].set_xlabel(f"time since the first rank began, {scale.unit} (dotted: iteration, median or predicted)")
    groups = dict(group_of(step) for row in rows for step in row["steps"])
    keys = [Patch(facecolor=colour, label=name) for name, colour in groups.items()]
    keys += [Patch(facecolor="white", edgecolor=RED, hatch="////", label="waiting for the last rank"),
             Patch(facecolor="white", edgecolor=GREY, hatch="....", label="began late")]
    figure.legend(handles=keys, loc="lower center", ncols=len(keys), frameon=False, bbox_to_anchor=(0.53, 0))
    return figure
