"""vggcalc: what it costs to see k pixels, in one large convolution or in a stack of 3×3s.

The torch-free names are here; `vggcalc.runtime` builds, crosschecks and times torch modules.
"""

from vggcalc.analysis.comparison import compare, factorize, summary
from vggcalc.analysis.costs import COSTS
from vggcalc.results import Comparison, Costs, ReceptiveField, Variant
from vggcalc.spec.factorization import FAMILIES, Splitting, merge, split
from vggcalc.spec.layers import Conv2d, Network, Node, SpecError
from vggcalc.spec.sources import given as network
from vggcalc.spec.vgg import CONFIGS, Config

__version__ = "0.1.0"

__all__ = [
    "CONFIGS",
    "COSTS",
    "FAMILIES",
    "Comparison",
    "Config",
    "Conv2d",
    "Costs",
    "Network",
    "Node",
    "ReceptiveField",
    "SpecError",
    "Splitting",
    "Variant",
    "__version__",
    "compare",
    "factorize",
    "merge",
    "network",
    "split",
    "summary",
]
