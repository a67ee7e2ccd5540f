"""What a network costs on this machine. The only room that imports torch and fvcore."""

from vggcalc.runtime.building import build
from vggcalc.runtime.fusing import fuse
from vggcalc.runtime.proving import prove
from vggcalc.runtime.rewriting import rewrite
from vggcalc.runtime.tracing import trace

__all__ = ["build", "fuse", "prove", "rewrite", "trace"]
