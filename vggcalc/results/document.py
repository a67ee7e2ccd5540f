"""The JSON document that a command writes, schema version 1."""

from typing import Literal

import msgspec

from vggcalc.nets.layers import Axes, Shape
from vggcalc.results.analysis import Comparison, Costs, Partial, ReceptiveField, Sees
from vggcalc.results.fitted import RewrittenModel
from vggcalc.results.fleet import Fleet
from vggcalc.results.measured import Environment

SCHEMA_VERSION = 1

#: How the figures are to be read; they stand in every JSON output.
CONVENTIONS: dict[str, str] = {
    "receptive_field": "per axis (height, width) in input positions: output unit u sees positions "
    "u·stride − padding … u·stride − padding + size − 1; null where `sees` says that it is the whole "
    "image, varies from unit to unit (paths of other strides, transposed convolutions, resizing), or is "
    "unknown; norms and activations count as looking at one unit",
    "partial": "a cost named there is a lower bound, without what the operators listed cost",
    "shapes": "(batch, channels, height, width); spatial pairs are (height, width)",
    "ratios": "variant / baseline; of latencies the median of rounds in which both alternate",
    "times": "seconds for one call",
}


class Change(msgspec.Struct, frozen=True):
    """A figure of a variant in an earlier report and now; None on the side where there is none.

    `figure` is a cost's key, convolutions, nonlinearities, receptive_field (its size), receptive_field_stride,
    receptive_field_padding or sees; layers_gone and layers_new count the layers that only the one side has; latency and
    ratio.latency, `on` a configuration, are there only where the 95% intervals over processes do not overlap. A whole
    `variant` or `comparison` is new or gone. Without a comparison it is a property of the machine that was measured on.
    `partial` says on which side a cost is a lower bound.
    """

    comparison: str | None
    variant: str | None
    figure: str
    before: int | float | str | Axes | None
    after: int | float | str | Axes | None
    partial: tuple[bool, bool] = (False, False)
    on: str | None = None


class ModelCosts(msgspec.Struct, frozen=True):
    """One model of several in a summary: its totals, or the `reason` why it "failed".

    Where its status is "partial", `partial` says which costs are lower bounds, and for lack of which operators.
    """

    model: str
    status: Literal["complete", "partial", "failed"]
    input_shape: Shape = ()
    dtype: str = ""
    costs: Costs = {}
    partial: Partial = {}
    receptive_field: ReceptiveField | None = None
    sees: Sees = "unknown"
    reason: str = ""


class Report(msgspec.Struct, frozen=True):
    """The output of a command. `answer` is what it comes to, `changes` those since the report in the file `against`.

    A summary of several models has `models` and no comparisons; what several machines measured is a `fleet`, a model
    with its weights carried over is `rewritten`.
    """

    schema_version: int
    vggcalc_version: str
    command: str
    conventions: dict[str, str]
    environment: Environment | None
    comparisons: tuple[Comparison, ...]
    against: str | None = None
    changes: tuple[Change, ...] = ()
    models: tuple[ModelCosts, ...] = ()
    fleet: Fleet | None = None
    rewritten: RewrittenModel | None = None
    answer: str = ""
