"""The roofline (Williams, Waterman, Patterson 2009): what bounds a module, and how near it comes.

What a module may reach is the smaller of the peak of arithmetic and of its intensity, FLOPs per
byte of compulsory traffic, times the bandwidth.
"""

import msgspec

from vggcalc.results import Costs, Latency, Roof


def _amounts(latency: Latency, costs: Costs) -> tuple[float, float | None]:
    """FLOPs of one call and its compulsory traffic, which is not modelled for training."""
    training = latency.mode == "training"
    flops = costs["training_flops" if training else "flops"] or 0
    return float(flops), None if training else float(costs["traffic_bytes"] or 0)


def raised(roof: Roof, name: str, latency: Latency, costs: Costs) -> Roof:
    """The roof, or a higher one where the module was faster than it allows.

    So nothing is ever above 100%: a module that beats the calibration is a better calibration.
    """
    flops, traffic = _amounts(latency, costs)
    rate = flops / latency.median_s
    if not traffic or rate <= _allowed(roof, flops / traffic):
        return roof
    return msgspec.structs.replace(
        roof,
        flops_per_s=max(roof.flops_per_s, rate),
        bytes_per_s=max(roof.bytes_per_s, traffic / latency.median_s),
        raised_by=name,
    )


def _allowed(roof: Roof, intensity: float) -> float:
    return min(roof.flops_per_s, intensity * roof.bytes_per_s)


def placed(latency: Latency, costs: Costs, roof: Roof) -> Latency:
    """The latency with its rate, and in inference its share of the roof and what bounds it."""
    flops, traffic = _amounts(latency, costs)
    rate = flops / latency.median_s
    if not traffic or not flops:
        return msgspec.structs.replace(latency, flops_per_s=rate)
    intensity = flops / traffic
    bound = "compute" if intensity * roof.bytes_per_s >= roof.flops_per_s else "memory"
    share = min(1.0, rate / _allowed(roof, intensity))  # a roof that it raised, but for rounding
    return msgspec.structs.replace(latency, flops_per_s=rate, roof_share=share, bound=bound)
