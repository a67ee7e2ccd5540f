"""`vggcalc rewrite`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from vggcalc.cli.groups import Command, alone, group, option
from vggcalc.cli.options import FACTORIZING, INPUTS, MODEL, NETWORK, REPLACING, SECONDS_TYPE, THREADS
from vggcalc.cli.types import Parsed, parse_amount, parse_share

if TYPE_CHECKING:
    from vggcalc.cli.structs import InputOptions, SweepTiming
    from vggcalc.library.factorizing import FactorizingOptions, ReplacingOptions
    from vggcalc.library.models import Overrides
    from vggcalc.library.rewriting import WidthOptions
    from vggcalc.pipeline.emit import ExitStatus


@click.command(
    cls=Command, epilog="Example: vggcalc rewrite torchvision:alexnet --into asymmetric --fit --save small.pt"
)
@MODEL
@NETWORK
@INPUTS
@FACTORIZING
@REPLACING
@alone(
    "Weights", "--fit", is_flag=True, common=True, help="Give the new layers the weights nearest to the old kernels."
)
@alone(
    "Weights",
    "--weights",
    metavar="FILE",
    common=True,
    help="The model's weights: .safetensors or .pt.  [default: its own]",
)
@alone(
    "Weights", "--save", metavar="OUT", common=True, required=True, help="Write the state dict: .safetensors or .pt."
)
@alone("Weights", "--code", metavar="OUT.py", common=True, help="Write Python that makes the module without vggcalc.")
@alone(
    "Weights",
    "--fit-on",
    metavar="FILE",
    help="Fit what comes out for these inputs: a tensor (.pt, .safetensors, .npy), or a folder of images.",
)
@group(
    "widths",
    "Weights",
    "vggcalc.library.rewriting:WidthOptions",
    option(
        "--energy",
        type=Parsed("SHARE", parse_share),
        help="Fit, each layer of the smallest width that explains this much of its kernel, such as 95%.",
    ),
    option(
        "--budget-macs",
        type=Parsed("AMOUNT", parse_amount),
        help="Fit, with widths for no more MACs of the whole network, such as 1.5G, spent where they explain most.",
    ),
)
@group(
    "timing",
    "Measuring",
    "vggcalc.cli.structs:SweepTiming",
    option("--latency", is_flag=True, default=None, common=True, help="Time the model before and after too."),
    option("--budget", type=SECONDS_TYPE, help="Seconds for it.  [default: until precise, at most 300]"),
    option("--device", type=Parsed("NAME", str.lower), help="cpu, cuda, mps, ….  [default: cpu]"),
    option("--threads", type=THREADS, help="CPU threads.  [default: 1]"),
)
@alone("Output", "--json", "as_json", is_flag=True, common=True, help="Write JSON instead of a table.")
def rewrite(
    model: str,
    overrides: Overrides,
    shape: InputOptions,
    factorizing: FactorizingOptions,
    replacing: ReplacingOptions,
    fit: bool,
    widths: WidthOptions,
    weights: str | None,
    save: str,
    code: str | None,
    fit_on: str | None,
    timing: SweepTiming,
    as_json: bool,
) -> None:
    """A model's weights with its large kernels replaced: written as a state dict, which vggcalc.rewrite's modules load.

    MODEL is what compare takes; importing one runs its code. A file of weights runs none: nothing but tensors is read.
    """
    import os
    import sys

    import msgspec

    from vggcalc.cli.structs import read_standard_input, same_file
    from vggcalc.library.models import resolve
    from vggcalc.library.rewriting import before_and_after, one_replacing, rewrite_to_file
    from vggcalc.pipeline.emit import exit_status
    from vggcalc.pipeline.progress import Progress
    from vggcalc.pipeline.report import make_report
    from vggcalc.pipeline.run import measure_with_progress, statuses_of, write_report

    for name, file in (("--save", save), ("--weights", weights)):
        if file is not None and os.path.splitext(file)[1] not in (".pt", ".pth", ".safetensors"):
            raise click.UsageError(f"{name} {file} is neither a .safetensors nor a .pt file")
    if weights is not None and same_file(weights, save):
        raise click.UsageError(f"--save {save} would overwrite what is read: give another file")
    if code is not None:
        if not code.endswith(".py"):
            raise click.UsageError(f"--code {code} is no .py file")
        if same_file(code, model.rpartition(":")[0]):
            raise click.UsageError(f"--code {code} would overwrite the model's own file: give another")
    resolved = resolve(model, shape.inputs, overrides, read_standard_input, shape.cache)
    rule, plan = one_replacing(resolved, factorizing, replacing), timing.plan(resolved.network.dtype)
    progress, environment = Progress(), None
    statuses: list[ExitStatus] = []
    try:
        done = rewrite_to_file(resolved, rule, fit, widths, weights, save, code, fit_on, progress)
    finally:
        progress.close()
    if plan is not None:
        outcome = measure_with_progress([before_and_after(resolved, rule, done)], plan)
        environment = outcome.environment
        done = msgspec.structs.replace(done, latency=outcome.comparisons[0].ratios[0].latency)
        statuses = statuses_of(outcome)
    report = make_report("rewrite", rewritten=done, environment=environment if as_json else None)
    write_report(report, "json" if as_json else "table", None)
    if code is not None and not as_json:
        click.echo(f"{code} makes this module without vggcalc: run, it loads {save} and puts out the same.")
    sys.exit(exit_status(statuses))
