"""vggcalc: what it costs to see k pixels, in one large convolution or in a stack of 3×3s.

The torch-free names are here; `vggcalc.runtime` builds, crosschecks and times torch modules.
They are imported when they are first used, so that `vggcalc --help` does not wait for them.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vggcalc.analysis.comparison import compare, summary
    from vggcalc.analysis.costs import COSTS
    from vggcalc.analysis.kernels import factorize
    from vggcalc.errors import InputError
    from vggcalc.nets.families import FAMILIES, Factorization
    from vggcalc.nets.graph import Network, Node
    from vggcalc.nets.layers import Conv2d
    from vggcalc.nets.replacing import Replacing, merge, split
    from vggcalc.nets.sources import network
    from vggcalc.nets.vgg import CONFIGS, Config
    from vggcalc.results import Comparison, Costs, ReceptiveField, Variant

__version__ = "0.1.0"

__all__ = [
    "CONFIGS",
    "COSTS",
    "FAMILIES",
    "Comparison",
    "Config",
    "Conv2d",
    "Costs",
    "Factorization",
    "InputError",
    "Network",
    "Node",
    "ReceptiveField",
    "Replacing",
    "Variant",
    "__version__",
    "compare",
    "factorize",
    "merge",
    "network",
    "split",
    "summary",
]

#: Where the names are, the lightest room first.
_ROOMS = (
    "errors",
    "nets.graph",
    "nets.layers",
    "nets.vgg",
    "nets.sources",
    "nets.families",
    "nets.replacing",
    "results",
    "analysis.costs",
    "analysis.comparison",
    "analysis.kernels",
)


def __getattr__(name: str) -> object:
    """Find a public name in its room (PEP 562)."""
    if name in __all__:
        from importlib import import_module

        for room in _ROOMS:
            module = import_module(f"vggcalc.{room}")
            if name in vars(module):
                return vars(module)[name]
    raise AttributeError(f"module 'vggcalc' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
