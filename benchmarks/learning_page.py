"""The page of benchmarks/learning.py: its results as tables, sentences and a figure, whichever way they came out."""

import io
import re
from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from statistics import mean, stdev
from textwrap import fill
from typing import Any

from scipy.stats import t

#: For each variant what it is, as tables and legend have it.
TITLES = {
    "naive": "one {k}×{k}",
    "once": "{n} 3×3, padding first, nothing between",
    "linear": "{n} 3×3, nothing between",
    "stack": "{n} 3×3, ReLUs between",
}
WORDS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five"}
#: A fitted network is back where on average it is this near to the trained one: half a percentage point.
BACK = 0.005

Found = dict[str, Any]
#: Mean, and the ends of its 95% interval.
Interval = tuple[float, float, float]

INTRODUCTION = """# What a stack learns

Simonyan and Zisserman (2014, [arXiv 1409.1556](https://arxiv.org/abs/1409.1556)) give two arguments for three 3×3
layers in place of one 7×7 (section 2.3): "we incorporate three non-linear rectification layers instead of a single one,
which makes the decision function more discriminative", and "we decrease the number of parameters", which is "imposing
a regularisation on the 7×7 conv. filters, forcing them to have a decomposition through the 3×3 filters". They trained
net B beside a net with "a single 5×5 conv. layer" for each of its five pairs of 3×3s: "The top-1 error of the shallow
net was measured to be 7% higher than that of B (on a center crop)" (section 4.1), one training of each on ImageNet.

Here the two arguments are taken apart, on small networks and small data, with {seeds} seeds each: layers with nothing
between them are the second argument alone, and the activations between them add the first. Where the first layer pads
for all of them and nothing is between, they are one convolution, at the edges too. What follows is what
`benchmarks/learning.py` found at commit {commit} on {date}{small}, with {versions}.
It says nothing of ImageNet.

![Differences in accuracy, and accuracy while a fitted network is trained on]({figure})
"""

SCRATCH_TEXT = """
## From scratch

The same split of the data, first weights around the compared layers, batches, schedule and {steps} steps for each seed.
Accuracy on {tested_on} images that were not trained on, mean over seeds with its 95% interval; differences are paired
by seed. MACs of one image; time of a call at batch {batch}, one thread, by that of the {k}×{k}s, where
the machine was quiet enough for an interval.
"""

FIT_TEXT = """
## From the trained {k}×{k}s

The trained networks with {k}×{k}s of {fitted} seeds are rewritten by `vggcalc.rewrite(network, fit=True)` with
the `pad_at` and `between` that the columns name, which explains {energy} of their kernels' energy, and trained on, and
so are the networks themselves. After so many steps, the difference in accuracy to the network as it was before,
in percentage points; from scratch there were {steps} steps.
Why a fit that explains so much costs so much at first, [My trained weights](../how-to/weights.md) takes apart.
"""

METHOD = """
## How

Digits of scikit-learn ({trained_on} images to train on and {tested_on} to test on, split anew by each seed), resized
from 8×8 to {size}×{size}. A 3×3 to {channels} channels; the compared layers, {channels} channels in and out, with ReLU
and 2×2 max pooling behind each; one linear layer. He's initialization with the gain of what follows each layer, since
torch's own lets signals fade in the deeper variants. Adam, batch {batch}, one cycle with a peak of {rate}: of the rates
below, tried on two other seeds, that with the best mean. When trained on a constant {tuning_rate}. Intervals are
Student's t over seeds, each for itself. Every seed's accuracies are in `docs/benchmarks/{data}`; the run took {minutes}
minutes, with processes of one thread each: {jobs}.

"""


def interval(values: Sequence[float]) -> Interval:
    """Mean and its 95% interval, Student's t."""
    if len(values) < 2:
        return mean(values), mean(values), mean(values)
    half = float(t.ppf(0.975, len(values) - 1)) * stdev(values) / sqrt(len(values))
    return mean(values), mean(values) - half, mean(values) + half


def differences(values: Sequence[float], others: Sequence[float]) -> list[float]:
    return [value - other for value, other in zip(values, others, strict=True)]


def percent(of: Interval) -> str:
    return f"{100 * of[0]:.2f}% ({100 * of[1]:.2f} to {100 * of[2]:.2f})".replace("-", "−")


def points(of: Interval) -> str:
    return f"{100 * of[0]:+.2f} ({100 * of[1]:+.2f} to {100 * of[2]:+.2f})".replace("-", "−")


def verdict(of: Interval) -> str:
    """What an interval of differences says of the accuracy."""
    word = "higher" if of[1] > 0 else "lower" if of[2] < 0 else "no different, as far as these seeds tell"
    return f"{word}: {points(of)} points"


def table(rows: Sequence[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]]) + "\n"


def filled(text: str) -> str:
    """The text with its paragraphs and list items broken anew; tables, titles and pictures as they are."""
    return "\n\n".join(
        one
        if re.match(r"\s*[|#!]", one)
        else "\n".join(
            fill(item, 120, subsequent_indent="  " * item.startswith("- "), break_on_hyphens=False)
            for item in _items(one)
        )
        for one in text.rstrip().split("\n\n")
    )


def _items(paragraph: str) -> list[str]:
    return paragraph.strip().split("\n") if paragraph.lstrip().startswith("- ") else [paragraph]


def called(name: str, kernel: str) -> str:
    return TITLES[name].format(k=kernel, n=WORDS.get(int(kernel) // 2, int(kernel) // 2))


def scratch(found: Found, name: str) -> list[float]:
    return [seed["scratch"][name] for seed in found["seeds"]]


def fitted(found: Found) -> list[Found]:
    """The seeds whose trained networks were fitted: all, unless the run was ended."""
    return [seed for seed in found["seeds"] if "tuned" in seed]


def tuned(found: Found, name: str, step: str) -> list[float]:
    """Of each seed the difference to the trained network's accuracy, that many steps after it was fitted."""
    return [seed["tuned"][name][step] - seed["scratch"]["naive"] for seed in fitted(found)]


def checkpoints(found: Found) -> list[str]:
    return list(fitted(found)[0]["tuned"]["stack"])


def timed(latency: Found | None) -> str:
    """A time by that of the large kernels, where it has an interval: on a machine that is too busy it has none."""
    if latency is None or latency["ci95"] is None:
        return "—"
    return "× {:.2f} ({:.2f} to {:.2f})".format(latency["ratio"], *latency["ci95"])


def from_scratch(kernel: str, found: Found) -> str:
    """The table of the variants, and what it says of the two arguments."""
    rows = [["layers", "parameters", "MACs", "training", "inference", "accuracy (95%)", "difference, points (95%)"]]
    base = scratch(found, "naive")
    for name, cost in found["costs"].items():
        accuracies = scratch(found, name)
        times = [timed(cost.get(mode)) if name != "naive" else "" for mode in ("training", "inference")]
        difference = "" if name == "naive" else points(interval(differences(accuracies, base)))
        counts = (f"{cost[name]:,}" for name in ("parameters", "macs"))
        rows.append([called(name, kernel), *counts, *times, percent(interval(accuracies)), difference])
    linear, stack = scratch(found, "linear"), scratch(found, "stack")
    return table(rows) + (
        f"\n- Fewer parameters, no activation more: accuracy is {verdict(interval(differences(linear, base)))}.\n"
        f"- The activations, at the same parameters: {verdict(interval(differences(stack, linear)))}.\n"
        f"- Both, which is VGG's stack: {verdict(interval(differences(stack, base)))}.\n"
    )


def back(found: Found, name: str) -> str:
    """From which checkpoint on a fitted network is as good as the trained one."""
    steps = checkpoints(found)
    means = [mean(tuned(found, name, step)) for step in steps]
    since = next((i for i in range(len(steps)) if min(means[i:]) >= -BACK), None)
    if since is None:
        return f"after {steps[-1]} steps it is not back within half a point"
    return (
        "it is within half a point at once"
        if since == 0
        else f"it is back within half a point after {steps[since]} steps"
    )


def from_trained(kernel: str, found: Found) -> str:
    """How accuracy comes back."""
    steps, base = checkpoints(found), scratch(found, "naive")
    stacks = {name: called(name, kernel) for name in TITLES if name != "naive"}
    names = stacks | {"naive": f"the {kernel}×{kernel}s themselves"}
    rows = [["steps", *names.values()]]
    rows += [[step, *(points(interval(tuned(found, name, step))) for name in names)] for step in steps]
    rows.append(["from scratch", *(points(interval(differences(scratch(found, one), base))) for one in stacks), ""])
    sentences = [f"\n- {title}: {back(found, name)}." for name, title in stacks.items()]
    return table(rows) + "".join(sentences) + "\n"


def rates(results: Found) -> str:
    """The accuracy of each network by the rate, on the seeds that were tried before."""
    names = list(next(iter(results["tried"].values())))
    rows = [["rate", *(called(name.split()[1], name.split()[0]) for name in names)]]
    return table([*rows, *([rate, *(f"{of[name]:.2%}" for name in names)] for rate, of in results["tried"].items())])


def figure(results: Found) -> str:
    """Differences from scratch, and how the fitted networks come back: an SVG in the colours of the page around it."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib.figure import Figure

    colours = {"naive": "#010203", "once": "#4b8b3b", "linear": "#d9730d", "stack": "#2f87c8"}
    markers = {"naive": "o", "once": "D", "linear": "s", "stack": "^"}
    with matplotlib.rc_context(
        {
            "svg.fonttype": "none", "svg.hashsalt": "vggcalc", "font.size": 8, "text.color": "#010203",
            "axes.edgecolor": "#010203", "axes.labelcolor": "#010203", "xtick.color": "#010203",
            "ytick.color": "#010203", "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False,
        }
    ):  # fmt: skip
        kernels = list(results["kernels"])
        canvas = Figure(figsize=(7, 2.6 * len(kernels)), layout="constrained")
        panels = canvas.subplots(len(kernels), 2, squeeze=False, width_ratios=[1, 1.4])
        for (left, right), kernel in zip(panels, kernels, strict=True):
            found = results["kernels"][kernel]
            compared = [("linear", "naive"), ("stack", "linear"), ("stack", "naive")]
            for place, (name, other) in enumerate(compared):
                middle, low, high = (
                    100 * one for one in interval(differences(scratch(found, name), scratch(found, other)))
                )
                left.plot([low, high], [place] * 2, color="#010203", linewidth=1)
                left.plot([middle], [place], color=colours[name], marker=markers[name])
            left.axvline(0, color="#808080", linewidth=0.8, linestyle="--")
            left.set_yticks(range(3), ["fewer parameters", "activations", "both"])
            left.set_ylim(2.5, -0.5)
            left.set_xlabel("difference in accuracy, percentage points")
            left.set_title(f"From scratch: {kernel}×{kernel}", loc="left", fontsize=8)
            if not fitted(found):
                right.set_axis_off()
                continue
            steps = checkpoints(found)
            right.axhline(0, color="#808080", linewidth=0.8, linestyle="--")
            for name, colour in colours.items():
                middles, lows, highs = zip(
                    *([100 * one for one in interval(tuned(found, name, step))] for step in steps), strict=True
                )
                label = f"{kernel}×{kernel}, trained on" if name == "naive" else called(name, kernel)
                right.plot(range(len(steps)), middles, color=colour, marker=markers[name], label=label, linewidth=1)
                right.fill_between(range(len(steps)), lows, highs, color=colour, alpha=0.25, linewidth=0)
            right.set_ylim(bottom=1.4 * right.get_ylim()[0])  # room for the legend
            right.set_xticks(range(len(steps)), steps)
            right.set_xlabel(f"steps after the fit of the trained {kernel}×{kernel}s")
            right.set_title("Accuracy less the trained network's, points", loc="left", fontsize=8)
            right.legend(fontsize=7, loc="lower right")
        file = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        canvas.savefig(file, format="svg", transparent=True, metadata=nothing)
    adapts = "<style>svg { color: #1f2328 } @media (prefers-color-scheme: dark) { svg { color: #e6edf3 } }</style>"
    drawn = re.sub(r" *\n", "\n", file.getvalue().replace("#010203", "currentColor"))
    return re.sub(r"(<svg [^>]*>)", rf"\1\n {adapts}", drawn, count=1)


def write(results: Found, page: Path) -> None:
    """Write the page, and the figure beside it."""
    settings = results["settings"]
    picture = page.with_suffix(".svg")
    words = settings | {
        **{name: results[name] for name in ("commit", "date", "rate", "tuning_rate")},
        "versions": ", ".join(f"{name} {version}" for name, version in results["versions"].items()),
        "small": ", as a trial run that shows nothing" if settings["small"] else "",
        "figure": picture.name,
        "data": page.with_suffix(".json").name,
        "minutes": round(results["seconds"] / 60),
    }
    parts = [INTRODUCTION]
    for kernel, found in results["kernels"].items():
        shares = [share for seed in fitted(found) for share in seed["energy"]]
        own = {"k": kernel, "energy": f"{mean(shares or [0]):.0%}", "fitted": len(fitted(found))}
        parts += [SCRATCH_TEXT.replace("From scratch", f"{kernel}×{kernel} from scratch").format(**words, **own)]
        parts += ["\n", from_scratch(kernel, found)]
        if fitted(found):
            parts += [FIT_TEXT.format(**words, **own), "\n", from_trained(kernel, found)]
        else:
            parts += ["\nThis run was ended before the trained networks were fitted.\n"]
    parts[0] = INTRODUCTION.format(**words)
    parts += [METHOD.format(**words), rates(results)]
    page.write_text(filled("".join(parts)) + "\n", encoding="utf-8")
    picture.write_text(figure(results), encoding="utf-8")
