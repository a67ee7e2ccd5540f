"""What the rules of other counters are made of: terms, and the layers that each of them applies to."""

import msgspec

from vggcalc.analysis.counters.amounts import Amount
from vggcalc.nets.layers import Operation, Window
from vggcalc.results import LayerResult

#: Who must have called an operator: a module of torch.nn, anything else, or no matter who.
MODULE, FUNCTION, ANY = "module", "function", "any"


class Term(msgspec.Struct, frozen=True):
    """What a counter adds for every layer of some kinds: `times` the amount.

    A kind is the type of a layer or, of what only traces have, torch's name of the operator.
    """

    name: str
    kinds: tuple[str, ...]
    amount: Amount
    times: int = 1
    by: str = ANY

    def applies(self, layer: LayerResult) -> bool:
        """Whether the term counts that layer."""
        view = isinstance(layer.layer, Operation | Window) and layer.layer.view  # also an operator's second output
        return kind_of(layer) in self.kinds and self.by in (ANY, caller(layer)) and not view


class Counter(msgspec.Struct, frozen=True):
    """A counter's rule: `figure` is what it calls its number, `source` where in its code the rule stands.

    Layers of no term count nothing beyond their MACs. `zero` are operators without a formula that it counts as 0,
    `doubtful` operators, by who calls them, whose count by it has not been established. `decimals`
    are those of 10⁹ that it rounds to; `one_image` that it counts one image of a batch.
    """

    figure: str
    factor: int
    version: str
    source: str
    terms: tuple[Term, ...] = ()
    zero: tuple[str, ...] = ()
    doubtful: tuple[tuple[str, tuple[str, ...]], ...] = ()
    decimals: int | None = None
    one_image: bool = False
    note: str = ""


AVERAGE_POOLS = ("avg_pool1d", "avg_pool2d", "avg_pool3d")


def kind_of(layer: LayerResult) -> str:
    """Its type, or torch's name of the operator; hardtanh between 0 and 6 is relu6."""
    if isinstance(layer.layer, Operation) and layer.layer.function == "hardtanh":
        options = layer.layer.options
        return "relu6" if (options.get("min_val"), options.get("max_val")) == (0, 6) else "hardtanh"
    return layer.function or layer.type


def caller(layer: LayerResult) -> str:
    """Whether a module of torch.nn runs the layer; else it is a function or a module of some other package.

    An average pooling in a module that runs more than that is the one that LocalResponseNorm calls.
    """
    traced = layer.traced
    if traced is None:
        return MODULE
    if traced.module is None:
        return FUNCTION if traced.by_function else MODULE
    return FUNCTION if traced.module != layer.name and kind_of(layer) in AVERAGE_POOLS else MODULE
