"""What a network costs on this machine. The only room that imports torch and fvcore."""

from vggcalc.runtime.building import build

__all__ = ["build"]
