"""One question to vggcalc and to seven other counters: how many parameters and MACs has VGG-16?

Asked for VGG-16 and its naive variant (one convolution per block, kernels 5, 5, 7, 7, 7), image
1×3×224×224. Each counter answers in its own process, called as its documentation has it, about
modules written in torch.nn like torchvision's. Wall time is that of the whole process, peak memory
its largest resident set. After an unmeasured run of each, every round runs all in random order,
the short ones five times; ratios are taken within a round, and medians printed. The second table
holds vggcalc's light commands against the imports they need, a question whose trace is kept from the
unmeasured run, one that is put for the first time, and an analysis timed by timeit. The third is
about torchvision's own VGG-16, that of `torchvision.models.vgg16()`; vggcalc traces it in a second
process, and its peak there is the sum of both.

    pip install . -r benchmarks/requirements.txt    # not editable: pip then compiles the bytecode
    python benchmarks/counters.py --runs 7 > table.md    # on Linux, macOS or another Unix
"""

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import NamedTuple

from revision import commit

EXACT = [(138_357_544, {"MACs": 15_470_264_320}), (144_727_144, {"MACs": 15_521_644_544})]  # VGG-16, naive
PYTHON, BIN = sys.executable, Path(sys.executable).parent
#: Children may write bytecode even where this process may not: else each run could compile it again.
ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}

#: On Linux the peak of a process is no less than that of the one that started it: this one is small.
LAUNCHER = """import os, sys, time
start = time.perf_counter()
_, status, usage = os.wait4(os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ), 0)
seconds = time.perf_counter() - start
print(seconds, usage.ru_maxrss, os.waitstatus_to_exitcode(status), file=sys.stderr)
"""

#: PyPI's torchvision does not find its own operators, for detection, beside a torch for the CPU alone, and then
#: does not import. All import it as vggcalc does, passing over an operator that does not exist: ptflops, which
#: imports it wherever it is installed, for the first table too.
TOLERANT = """import json
import torch
image = (1, 3, 224, 224)
register = torch.library.register_fake
def tolerant(name, function=None, /, **options):
    def decorate(function):
        try:
            return register(name, function, **options)
        except RuntimeError as error:
            if not str(name).startswith("torchvision::") or "does not exist" not in str(error):
                raise
            return function
    return decorate if function is None else decorate(function)
torch.library.register_fake = tolerant
"""
BUILD = """from torch import nn
def vgg(naive):
    layers, channels = [], 3
    for width, depth, kernel in ((64, 2, 5), (128, 2, 5), (256, 3, 7), (512, 3, 7), (512, 3, 7)):
        for size in [kernel] if naive else [3] * depth:
            layers += [nn.Conv2d(channels, width, size, padding=size // 2), nn.ReLU(inplace=True)]
            channels = width
        layers.append(nn.MaxPool2d(2, 2))
    layers += [nn.AdaptiveAvgPool2d(7), nn.Flatten()]
    layers += [nn.Linear(512 * 7 * 7, 4096), nn.ReLU(inplace=True), nn.Dropout()]
    layers += [nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(4096, 1000)]
    return nn.Sequential(*layers).eval()
makers = [lambda: vgg(False), lambda: vgg(True)]
"""
PUBLISHED = """import torchvision
makers = [lambda: torchvision.models.vgg16().eval()]
"""
ANSWER = "print(json.dumps([count(make()) for make in makers]))"

#: After those: `count` gives the parameters and whatever the counter counts, by the counter's own name.
COUNTERS = {
    "torchinfo": """from torchinfo import summary
def count(model):
    found = summary(model, input_size=image, verbose=0)
    return found.total_params, {"mult-adds": found.total_mult_adds}
""",
    "ptflops": """from ptflops import get_model_complexity_info
def count(model):
    macs, parameters = get_model_complexity_info(model, image[1:], as_strings=False, print_per_layer_stat=False)
    return parameters, {"MACs": macs}
""",
    "thop": """from thop import profile
def count(model):
    macs, parameters = profile(model, inputs=(torch.randn(image),), verbose=False)
    return int(parameters), {"MACs": int(macs)}
""",
    "calflops": """from calflops import calculate_flops
def count(model):
    flops, macs, parameters = calculate_flops(model, image, output_as_string=False, print_results=False)
    return parameters, {"MACs": macs, "FLOPs": flops}
""",
    "fvcore": """from fvcore.nn import FlopCountAnalysis, parameter_count
def count(model):
    flops = FlopCountAnalysis(model, torch.randn(image)).total()
    return parameter_count(model)[""], {"flops": flops}
""",
    "torchscan": """from torchscan import crawl_module
def count(model):
    found = {name: total["value"] for name, total in crawl_module(model, image[1:])["totals"].items()}
    return found["parameters"], {"MACs": found["macs"], "FLOPs": found["module_flops"]}
""",
    "torch": """from torch.utils.flop_counter import FlopCounterMode
torch.set_default_device("meta")
def count(model):
    with FlopCounterMode(display=False) as counter:
        model(torch.empty(image))
    return sum(p.numel() for p in model.parameters()), {"flops": counter.get_total_flops()}
""",
}
OF_TORCHVISION = {f"{name} of torchvision's": name for name in COUNTERS}
RIVALS = ("torchinfo", "fvcore", "ptflops", "torchscan")  # vggcalc must be below these there
PIP = {"calflops": "calflops transformers"}  # it imports transformers without requiring it
ANALYZED = 'vggcalc.compare("vgg16")'
ANALYSIS = f"""import statistics, timeit, vggcalc
timer = timeit.Timer(lambda: {ANALYZED}, "import gc; gc.enable()")
number, _ = timer.autorange()
print(statistics.median(timer.repeat(25, number)) / number)
"""
QUESTION = "vggcalc compare vgg16 --no-latency --json"
SUMMARY = "vggcalc summary torchvision:vgg16 --no-latency --json --no-cache"
#: The same kind of question once its answer is kept.
AGAIN = "vggcalc summary torchvision:resnet50 --no-latency"
#: The command as its entry point runs it; its own peak goes last to standard error, without its worker's.
SUMMARY_PROGRAM = f"""import atexit, resource, sys
sys.argv = {SUMMARY.split()}
atexit.register(lambda: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr))
from vggcalc.cli.main import main
main()
"""
CLICK, RICH, TORCH = "import click", "import click, rich.console, rich.table", "import torch"
VISION = "import torchvision"
PROGRAMS = {
    **{name: TOLERANT + BUILD + code + ANSWER for name, code in COUNTERS.items()},
    **{name: TOLERANT + PUBLISHED + COUNTERS[counter] + ANSWER for name, counter in OF_TORCHVISION.items()},
    VISION: TOLERANT + VISION,
    SUMMARY: SUMMARY_PROGRAM,
}

#: vggcalc's commands: exit status, floor, how many times the floor's wall time and how many MiB are allowed.
LIMITS: dict[str, tuple[int, str, float, float | None]] = {
    QUESTION: (0, CLICK, 1.6, 20),
    "vggcalc compare vgg16 --no-latency": (0, RICH, 1.5, None),
    AGAIN: (0, CLICK, 3, None),
    "vggcalc --help": (0, CLICK, 1.25, None),
    "vggcalc --version": (0, CLICK, 1.25, None),
    "vggcalc compare vgg16 --no-such-option": (2, CLICK, 1.25, None),
}
LIMIT_FIRST = 1.1  # of SUMMARY, times what importing torchvision takes
LIMIT_MS = 1.0  # of the analysis inside a running process
HOLDS = {True: "yes", False: "**no**"}


class Run(NamedTuple):
    seconds: float
    mebibytes: float
    output: str = ""


def launch(command: Sequence[str], status: int = 0) -> tuple[Run, list[str]]:
    """One process, and the lines of its standard error; `RuntimeError` with the last one if it ends otherwise."""
    # BIN as the directory: there the checkout is not imported in place of the installed package.
    launcher = [PYTHON, "-I", "-S", "-c", LAUNCHER, *command]
    done = subprocess.run(launcher, capture_output=True, text=True, env=ENVIRONMENT, cwd=BIN)
    *errors, last = done.stderr.splitlines()
    if done.returncode:
        raise RuntimeError(last)
    seconds, peak, ended = last.split()
    if int(ended) != status:
        raise RuntimeError(errors[-1] if errors else f"exit status {ended}")
    return Run(float(seconds), mebibytes(int(peak)), done.stdout), errors


def mebibytes(peak: int) -> float:
    """Of a peak as the system counts it."""
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def run(name: str) -> Run:
    """One process of a counter, a command or a program; `RuntimeError` with its last line if it fails."""
    if name in LIMITS:
        return launch([str(BIN / "vggcalc"), *name.split()[1:]], LIMITS[name][0])[0]
    found, errors = launch([PYTHON, "-c", PROGRAMS.get(name, name)])
    return found._replace(mebibytes=found.mebibytes + mebibytes(int(errors[-1]))) if name == SUMMARY else found


def first_runs() -> dict[str, str]:
    """What each prints; a counter that fails is left out, and standard error says so."""
    outputs = {name: run(name).output for name in (CLICK, RICH, TORCH, VISION, SUMMARY, *LIMITS)}
    for name in (*COUNTERS, *OF_TORCHVISION):
        try:
            outputs[name] = run(name).output
        except RuntimeError as error:
            package = OF_TORCHVISION.get(name, name)
            print(f"{name} is left out: {error}: pip install {PIP.get(package, package)}", file=sys.stderr)
    return outputs


def measure(names: Iterable[str], rounds: int) -> dict[str, list[Run]]:
    """For each one figure a round: the median of its runs there."""
    figures: dict[str, list[Run]] = {name: [] for name in names}
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        order = [name for name in figures for _ in range(1 if name in (TORCH, *PROGRAMS) else 5)]
        taken = [(name, run(name)) for name in random.sample(order, len(order))]
        for name in figures:
            runs = [one for other, one in taken if other == name]
            figures[name].append(Run(median(r.seconds for r in runs), median(r.mebibytes for r in runs)))
    return figures


def costs(runs: list[Run], base: list[Run]) -> tuple[float, float, list[str]]:
    """Wall time as a multiple of that of `base` in the same round, peak memory in MiB, cells for both."""
    seconds, peak = median(r.seconds for r in runs), median(r.mebibytes for r in runs)
    times = median(r.seconds / b.seconds for r, b in zip(runs, base, strict=True))
    larger = median(r.mebibytes / b.mebibytes for r, b in zip(runs, base, strict=True))
    wall = f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.0f} ms"
    return times, peak, [wall, f"{times:#.3g}", f"{peak:,.0f} MiB", f"{larger:#.3g}"]


def counted(figures: dict[str, int], macs: int) -> str:
    """What a counter reports, by its own name, beside the exact MACs."""
    cells = []
    for label, figure in figures.items():
        unit = 2 if figure > 1.5 * macs else 1
        extra = figure - unit * macs
        beside = f" {'+' if extra > 0 else '−'} {abs(extra):,}" if extra else ""
        cells.append(f"{label} {figure:,} = {'2 × ' * (unit - 1)}MACs{beside}")
    return "; ".join(cells)


def answer(name: str, output: str) -> list[tuple[int, dict[str, int]]]:
    """Parameters and counts of VGG-16, then of the naive variant where it was asked for."""
    found = json.loads(output)
    if name == SUMMARY:
        costs = found["comparisons"][0]["variants"][0]["costs"]
        found = [(costs["parameters"], {"MACs": costs["macs"]})]
    if name == QUESTION:
        naive, factorized = (variant["costs"] for variant in found["comparisons"][0]["variants"])
        found = [(one["parameters"], {"MACs": one["macs"]}) for one in (factorized, naive)]
    return [(parameters, counts) for parameters, counts in found]


def counters_table(
    own: str, others: Iterable[str], floor: str, figures: dict[str, list[Run]], outputs: dict[str, str]
) -> Iterable[Sequence[str]]:
    """Each counter against vggcalc: what it costs and what it says."""
    last = "for the naive" if own == QUESTION else "vggcalc is below"
    yield "counter", "wall time", "× vggcalc", "peak", "× vggcalc", "parameters", "for VGG-16", last
    for name in (one for one in (own, *others) if one in figures):
        answers = answer(name, outputs[name])
        exact = EXACT[: len(answers)]
        same = [parameters for parameters, _ in answers] == [parameters for parameters, _ in exact]
        count = f"{answers[0][0]:,}{'' if same else ' **wrong**'}"
        said = [counted(found, right["MACs"]) for (_, found), (_, right) in zip(answers, exact, strict=True)]
        package = "vggcalc" if name == own else OF_TORCHVISION.get(name, name)
        label = f"{package}{' FlopCounterMode, meta,' * (package == 'torch')} {metadata.version(package)}"
        cells = costs(figures[name], figures[own])[2]
        if own == SUMMARY:  # below in both wall time and peak memory
            below = min(float(cells[1]), float(cells[3])) > 1
            said.append("" if name == own else HOLDS[below] if package in RIVALS else HOLDS[below].strip("*"))
        yield label, *cells, count, *said
    yield f"`{floor}` alone", *costs(figures[floor], figures[own])[2], "", "", ""


def limits_table(figures: dict[str, list[Run]], analysis_ms: float) -> Iterable[Sequence[str]]:
    """vggcalc's commands against their floors and limits."""
    yield "command", "wall time", "peak memory", "measured", "must be under", "holds"
    for floor in (CLICK, RICH):
        _, _, (wall, _, memory, _) = costs(figures[floor], figures[floor])
        yield f"`python -c '{floor}'`", wall, memory, "1", "", ""
    for line, (_, floor, limit, largest) in LIMITS.items():
        times, peak, (wall, _, memory, _) = costs(figures[line], figures[floor])
        allowed = f"{limit} × `{floor}`" + (f", {largest:g} MiB" if largest else "")
        holds = times < limit and (largest is None or peak < largest)
        yield f"`{line}`", wall, memory, f"{times:.2f} ×", allowed, HOLDS[holds]
    times, _, (wall, _, memory, _) = costs(figures[SUMMARY], figures[VISION])
    yield f"`{SUMMARY}`", wall, memory, f"{times:.2f} ×", f"{LIMIT_FIRST} × `{VISION}`", HOLDS[times < LIMIT_FIRST]
    cells = f"{analysis_ms:.2f} ms", f"{LIMIT_MS:g} ms", HOLDS[analysis_ms < LIMIT_MS]
    yield f"`{ANALYZED}` in a running process", cells[0], "", *cells


def print_table(rows: Iterable[Sequence[str]]) -> None:
    """Each row as soon as it is there: a long run that is ended leaves those that it has made."""
    for i, cells in enumerate(rows):
        print(f"| {' | '.join(cells)} |", flush=True)
        if not i:
            print(f"|{' --- |' * len(cells)}")
    print()


def machine() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    software = f"{platform.system()}, Python {platform.python_version()}, torch {metadata.version('torch')}"
    found = commit()
    ran = f"commit {found}" if found else f"vggcalc {metadata.version('vggcalc')}"
    return f"{[*models, platform.processor()][0]}, {os.cpu_count()} cores, {software}, {ran}"


def main() -> None:
    parser = argparse.ArgumentParser(description="vggcalc and seven other counters, as Markdown tables.")
    parser.add_argument("--runs", type=int, default=7, metavar="N", help="rounds (default: %(default)s)")
    rounds = max(1, parser.parse_args().runs)
    with tempfile.TemporaryDirectory() as kept:
        ENVIRONMENT["VGGCALC_CACHE_DIR"] = kept
        outputs = first_runs()
        for name in (QUESTION, SUMMARY):
            if (own := answer(name, outputs[name])) != EXACT[: len(own)]:
                sys.exit(f"vggcalc itself is wrong: {name}: {own}")
        figures = measure(outputs, rounds)
    print_table(counters_table(QUESTION, COUNTERS, TORCH, figures, outputs))
    print_table(limits_table(figures, 1e3 * float(run(ANALYSIS).output)))
    print_table(counters_table(SUMMARY, OF_TORCHVISION, VISION, figures, outputs))
    print(f"{machine()}; {time.strftime('%Y-%m-%d')}; --runs {rounds}, medians.")


if __name__ == "__main__":
    main()
