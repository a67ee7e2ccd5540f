"""vggcalc: what it costs to see k pixels, in one large convolution or in a stack of 3×3s.

>>> print(vggcalc.factorize(7))  # doctest: +ELLIPSIS
The stack of three 3×3 has 45% fewer weights and does 45% fewer MACs than the
7×7; it was not timed.
...

A name is imported from its room when it is first used, so that `import vggcalc` is quick; torch is imported only by
what needs a module in this process (`trace`, `build`, `rewrite`, `fuse`, and `compare` or `summary` of a module).
"""

#: As typing's, without importing it: until the command line has set its signal handlers, Ctrl-C is not quiet.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from vggcalc.analysis.costs import COSTS as COSTS
    from vggcalc.errors import InputError as InputError
    from vggcalc.errors import OutputError as OutputError
    from vggcalc.errors import VggcalcError as VggcalcError
    from vggcalc.errors import WorkerError as WorkerError
    from vggcalc.library.comparing import compare as compare
    from vggcalc.library.comparing import summary as summary
    from vggcalc.library.documents import gate as gate
    from vggcalc.library.documents import join as join
    from vggcalc.library.documents import load as load
    from vggcalc.library.documents import load_all as load_all
    from vggcalc.library.kernels import factorize as factorize
    from vggcalc.library.measuring import MeasurementWarning as MeasurementWarning
    from vggcalc.library.measuring import check as check
    from vggcalc.library.measuring import effective_receptive_field as effective_receptive_field
    from vggcalc.library.measuring import measure as measure
    from vggcalc.library.measuring import verify as verify
    from vggcalc.library.modules import FusingWarning as FusingWarning
    from vggcalc.library.modules import build as build
    from vggcalc.library.modules import fuse as fuse
    from vggcalc.library.modules import rewrite as rewrite
    from vggcalc.library.modules import trace as trace
    from vggcalc.library.sweeping import sweep as sweep
    from vggcalc.nets.families import FAMILIES as FAMILIES
    from vggcalc.nets.families import Factorization as Factorization
    from vggcalc.nets.graph import Network as Network
    from vggcalc.nets.graph import Node as Node
    from vggcalc.nets.layers import Conv1d as Conv1d
    from vggcalc.nets.layers import Conv2d as Conv2d
    from vggcalc.nets.layers import Conv3d as Conv3d
    from vggcalc.nets.merging import merge as merge
    from vggcalc.nets.replacing import Replacing as Replacing
    from vggcalc.nets.replacing import split as split
    from vggcalc.nets.sources import network as network
    from vggcalc.nets.vgg import CONFIGS as CONFIGS
    from vggcalc.nets.vgg import Config as Config
    from vggcalc.report.gate.gate import GateResult as GateResult
    from vggcalc.results.analysis import BlockResult as BlockResult
    from vggcalc.results.analysis import Comparison as Comparison
    from vggcalc.results.analysis import LayerResult as LayerResult
    from vggcalc.results.analysis import Ratio as Ratio
    from vggcalc.results.analysis import ReceptiveField as ReceptiveField
    from vggcalc.results.analysis import Variant as Variant
    from vggcalc.results.fleet import Fleet as Fleet
    from vggcalc.results.measured import Configuration as Configuration
    from vggcalc.results.measured import Latency as Latency
    from vggcalc.results.measured import LatencyRatio as LatencyRatio
    from vggcalc.runtime.trace.formulas import register_formula as register_formula

__version__ = "0.1.0"

#: Every public name, and the module in which it stands.
_PLACES = {
    "COSTS": "analysis.costs",
    "InputError": "errors",
    "OutputError": "errors",
    "VggcalcError": "errors",
    "WorkerError": "errors",
    "compare": "library.comparing",
    "factorize": "library.kernels",
    "summary": "library.comparing",
    "gate": "library.documents",
    "join": "library.documents",
    "load": "library.documents",
    "load_all": "library.documents",
    "MeasurementWarning": "library.measuring",
    "check": "library.measuring",
    "effective_receptive_field": "library.measuring",
    "measure": "library.measuring",
    "verify": "library.measuring",
    "build": "library.modules",
    "FusingWarning": "library.modules",
    "fuse": "library.modules",
    "rewrite": "library.modules",
    "trace": "library.modules",
    "sweep": "library.sweeping",
    "FAMILIES": "nets.families",
    "Factorization": "nets.families",
    "Network": "nets.graph",
    "Node": "nets.graph",
    "Conv1d": "nets.layers",
    "Conv2d": "nets.layers",
    "Conv3d": "nets.layers",
    "Replacing": "nets.replacing",
    "merge": "nets.merging",
    "split": "nets.replacing",
    "network": "nets.sources",
    "CONFIGS": "nets.vgg",
    "Config": "nets.vgg",
    "GateResult": "report.gate.gate",
    "BlockResult": "results.analysis",
    "Comparison": "results.analysis",
    "LayerResult": "results.analysis",
    "Ratio": "results.analysis",
    "ReceptiveField": "results.analysis",
    "Variant": "results.analysis",
    "Fleet": "results.fleet",
    "Configuration": "results.measured",
    "Latency": "results.measured",
    "LatencyRatio": "results.measured",
    "register_formula": "runtime.trace.formulas",
}

__all__ = ["__version__", *_PLACES]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used (PEP 562)."""
    if name in _PLACES:
        from importlib import import_module

        value: object = getattr(import_module(f"vggcalc.{_PLACES[name]}"), name)
        globals()[name] = value
        return value
    from vggcalc.errors import hint

    raise AttributeError(f"module 'vggcalc' has no attribute {name!r}{hint(name, _PLACES)}")


def __dir__() -> list[str]:
    return sorted(__all__)
