"""How an accelerator is timed, beside what else can be known of it: one command for whoever has one.

Six tables: whether wall time after a synchronization, which the package takes, is what the device's own events say,
eagerly and as a replayed graph; what TF32 would change; which kernels ran and what they allocated; what `measure` says
of a 7×7 against its stack, and of VGG-16 against its large kernels; which configurations run; and whether a module
against its own copy comes out as 1 (A/A). Everything, with the times of every round, goes to --output.

    python benchmarks/accelerator.py --output accelerator.json > table.md    # while nothing else runs
"""

import argparse
import json
import random
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from itertools import islice, product
from statistics import median
from typing import Any

import latency_coverage
import msgspec
import torch
from counters import machine, print_table
from torch import nn

import vggcalc
from vggcalc.errors import WorkerError
from vggcalc.measurement.intervals import FIRST_CHECK, estimate, log_ratios
from vggcalc.protocol import Subject
from vggcalc.report.tables.conditions import short_kernel
from vggcalc.results import Comparison, Configuration, Variant
from vggcalc.runtime.time.arms import Built, context, prepare
from vggcalc.runtime.time.devices import Accelerator, Device, device
from vggcalc.runtime.time.rounds import rounds, warm

Table = Iterable[Sequence[str]]

#: Enough to warm each arm for 0.2 s.
SLICE_S = 30.0

#: Repeats in which the two clocks alternate; six are the fewest with an exact 95% interval.
REPEATS = 12


def modules() -> dict[str, Variant]:
    """What is timed: launches that wait for the processor, and kernels that the device is long busy with."""
    one, batch = vggcalc.factorize(7), vggcalc.factorize(7, batch=64)
    depthwise = vggcalc.factorize(7, channels=256, groups=256, size=28, activation="none")
    return {
        "7×7, 64 channels, 56×56": one["naive"],
        "its stack of three 3×3": one["factorized"],
        "the same 7×7, 64 images": batch["naive"],
        "the same stack, 64 images": batch["factorized"],
        "depthwise 7×7, 256 channels, 28×28": depthwise["naive"],
    }


def supported(name: str, record: dict[str, Any]) -> Table:
    """Every configuration, on a small network: it runs, or why it does not."""
    network = vggcalc.factorize(5, channels=16, size=16, batch_norm=True)["factorized"].network
    found = {}
    grid = product(("float32", "float16", "bfloat16"), ("inference", "training"), ("contiguous", "channels_last"))
    for (dtype, mode, memory_format), execution in product(grid, ("eager", "graph", "compiled")):
        configuration = Configuration(name, dtype, 1, mode, memory_format, execution)  # type: ignore[arg-type]
        where = device(name)
        where.configure(configuration)
        try:
            with context(configuration):
                ready = prepare(Subject("probe", network), configuration, where, 0)
                ready.call()
                where.clock()
            found[configuration.label] = "runs"
        except Exception as error:  # what torch raises is the answer
            found[configuration.label] = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:120]}"
    record["supported"] = found
    yield "configurations", "result"
    for outcome in dict.fromkeys(found.values()):
        yield ", ".join(label for label, one in found.items() if one == outcome), outcome


def event_seconds(call: Callable[[], object], calls: int) -> float:
    """Seconds of one call, between two events of the device around `calls` of them."""
    start, end = (torch.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(calls):
        call()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3 / calls


def ready_modules(where: Device, execution: str, dtype: str = "float32") -> dict[str, Built]:
    """Every module, on the device."""
    configuration = Configuration(where.name, dtype, execution=execution)  # type: ignore[arg-type]
    where.configure(configuration)
    with context(configuration):
        return {
            name: prepare(Subject(variant.name, variant.network), configuration, where, 0)
            for name, variant in modules().items()
        }


def clocks(where: Device, record: dict[str, Any]) -> Table:
    """The package's rounds beside the device's events, alternating, eager and as graphs."""
    yield "module", "execution", "wall", "events", "wall / events (95% CI)", "calls in a timing"
    for execution in ("eager", "graph"):
        for name, ready in ready_modules(where, execution).items():
            with torch.inference_mode():
                arm = warm(ready.call, where.clock, where.least_timing_s(), SLICE_S)
                walls, events = [], []
                for _ in range(REPEATS):
                    taken = islice(rounds([arm], where.clock, random.Random(0)), FIRST_CHECK)
                    walls.append(median(row[0].wall_s for row in taken))
                    events.append(median(event_seconds(ready.call, arm.calls) for _ in range(FIRST_CHECK)))
            record.setdefault("clocks", {})[f"{name}, {execution}"] = {"wall_s": walls, "event_s": events}
            ratio = estimate([log_ratios(events, walls)])
            low, high = ratio.ci95 or (float("nan"), float("nan"))
            yield (
                *(name, execution, microseconds(median(walls)), microseconds(median(events))),
                *(f"{ratio.ratio:.3f} ({low:.3f} to {high:.3f})", str(arm.calls)),
            )


def tf32(where: Device, record: dict[str, Any]) -> Table:
    """What the package turns off: the error of a convolution and of a matrix product, and the time, off and on."""
    yield "operator", "TF32", "relative error against float64", "time"
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(64, 64, 56, 56, generator=generator)
    conv = nn.Conv2d(64, 64, 7, padding=3, bias=False).requires_grad_(False)
    left, right = (torch.randn(4096, 4096, generator=generator) for _ in range(2))
    there = where.name
    image, conv, left, right = image.to(there), conv.to(there), left.to(there), right.to(there)
    calls: dict[str, tuple[Callable[[], torch.Tensor], torch.Tensor]] = {
        "7×7 convolution, 64 channels, 64 images of 56×56": (
            lambda: conv(image),
            nn.functional.conv2d(image.double(), conv.weight.double(), padding=3),
        ),
        "matrix product of 4096": (lambda: left @ right, left.double() @ right.double()),
    }
    for name, (call, exact) in calls.items():
        for allowed in (False, True):
            where.configure(Configuration(there, "float32"))
            if allowed:
                torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
            error = float((call().double() - exact).norm() / exact.norm())
            arm = warm(call, where.clock, where.least_timing_s(), SLICE_S)
            taken = islice(rounds([arm], where.clock, random.Random(0)), FIRST_CHECK)
            seconds = median(row[0].wall_s for row in taken)
            record.setdefault("tf32", []).append({"name": name, "allowed": allowed, "error": error, "s": seconds})
            yield name, "on" if allowed else "off", f"{error:.1e}", microseconds(seconds)
    where.configure(Configuration(there, "float32"))


def kernels(where: Device, record: dict[str, Any]) -> Table:
    """What ran, and the allocator's peak beside the least that the network's feature maps and input need."""
    yield "module", "execution", "kernels", "allocated", "least"
    for execution in ("eager", "graph"):
        for name, ready in ready_modules(where, execution).items():
            with torch.inference_mode():
                names, peak = where.kernels(ready.call), where.peak_bytes(ready.eager)
            least = modules()[name].costs["peak_activation_bytes"]
            allocated = None if peak is None else peak + ready.image_bytes
            found = {"kernels": names, "allocated_bytes": allocated, "least_bytes": least}
            record.setdefault("kernels", {})[f"{name}, {execution}"] = found
            short = "; ".join(map(short_kernel, names))
            yield name, execution, short, f"{allocated:,}" if allocated else "—", f"{least:,}"


def copies(where: Device, comparisons: int, record: dict[str, Any]) -> Table:
    """A module against its copy in one process, eager and as graphs: each miss of 1 is an error."""
    yield "execution", "way", "comparisons", "holds 1.0", "faster or slower", "width", "median error", "largest error"
    for execution in ("eager", "graph"):
        configuration = Configuration(where.name, "float32", execution=execution)
        where.configure(configuration)
        found: dict[str, list[latency_coverage.Found]] = {}
        with context(configuration):
            for number in range(comparisons):
                for way, one in latency_coverage.in_this_process(where, number, configuration).items():
                    found.setdefault(way, []).append(one)
        record.setdefault("copies", {})[execution] = {
            way: [{"ratio": one.estimate.ratio, "ci95": one.estimate.ci95, "verdict": one.verdict} for one in results]
            for way, results in found.items()
        }
        lines = iter(latency_coverage.table(found))
        next(lines)
        for line in lines:
            yield execution, *line


def verdicts(name: str, budget: float, record: dict[str, Any]) -> Table:
    """What `measure` says, over processes, of a kernel and of a network, with its own A/A control."""
    yield "comparison", "configuration", "naive", "factorized", "ratio (95% CI)", "verdict", "over", "A/A"
    comparisons: dict[str, Comparison] = {
        "factorize 7": vggcalc.factorize(7),
        "factorize 7, batch 64": vggcalc.factorize(7, batch=64),
        "compare vgg16, batch 32": vggcalc.compare("vgg16", inputs=(32, 3, 224, 224)),
    }
    for title, comparison in comparisons.items():
        for dtype, memory_format in (("float32", "contiguous"), ("bfloat16", "channels_last")):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                try:
                    measured = vggcalc.measure(
                        comparison, budget, device=name, dtype=dtype, memory_format=memory_format
                    )
                except WorkerError as error:
                    yield title, f"{dtype} {memory_format}", "—", "—", "—", str(error), "—", "—"
                    continue
            record.setdefault("measured", []).append(
                {
                    "title": title,
                    "comparison": msgspec.to_builtins(measured),
                    "warnings": [str(one.message) for one in caught],
                }
            )
            for one in measured.ratio("factorized").latency:
                low, high = one.ci95 or (float("nan"), float("nan"))
                latencies = (measured[arm].latency_in(one.configuration) for arm in ("naive", "factorized"))
                yield (
                    title,
                    one.configuration.label,
                    *(microseconds(arm.median_s) if arm else "—" for arm in latencies),
                    f"{one.ratio:.3f} ({low:.3f} to {high:.3f})",
                    one.verdict,
                    f"{one.processes} × {one.rounds}",
                    f"{one.control_ratio:.3f}",
                )


def microseconds(seconds: float) -> str:
    """With four digits."""
    return f"{1e6 * seconds:.4g} µs"


def main() -> None:
    parser = argparse.ArgumentParser(description="How an accelerator is timed, as Markdown tables and a JSON file.")
    parser.add_argument("--device", default="", metavar="NAME", help="default: the accelerator that torch finds")
    parser.add_argument("--comparisons", type=int, default=100, metavar="N", help="A/A, each way (%(default)s)")
    parser.add_argument("--budget", type=float, default=12, metavar="S", help="for each measurement (%(default)s)")
    parser.add_argument("--output", default="accelerator.json", metavar="FILE", help="default: %(default)s")
    options = parser.parse_args()
    here = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    name = options.device or (here.type if here else "")
    if not name:
        sys.exit(f"torch {torch.__version__} finds no accelerator here")
    where, began = device(name), time.monotonic()
    if not isinstance(where, Accelerator):
        sys.exit(f"{name} is no accelerator: latency_coverage.py and latency_agreement.py are for it")
    where.configure(Configuration(name, "float32"))
    record: dict[str, Any] = {"machine": machine(), "device": msgspec.to_builtins(where.facts())}
    sections: dict[str, Callable[[], Table]] = {
        "Wall time against the device's events": lambda: clocks(where, record),
        "TF32": lambda: tf32(where, record),
        "Kernels and memory": lambda: kernels(where, record),
        "Verdicts": lambda: verdicts(name, options.budget, record),
        "Configurations": lambda: supported(name, record),
        "A module against its copy": lambda: copies(where, options.comparisons, record),
    }
    for title, section in sections.items():
        print(f"\n## {title}\n", flush=True)
        try:
            print_table(section())
        except Exception as error:  # the other sections are worth having
            record.setdefault("failed", {})[title] = f"{type(error).__name__}: {error}"
            print(f"\nfailed: {type(error).__name__}: {error}")
        with open(options.output, "w", encoding="utf-8") as file:
            json.dump(record, file)
    print(
        f"{record['device']['model']}; {record['machine']}; {record['device']['details']}; "
        f"{time.strftime('%Y-%m-%d')}; {time.monotonic() - began:.0f} s."
    )
    sys.exit(1 if "failed" in record else 0)


if __name__ == "__main__":
    main()
