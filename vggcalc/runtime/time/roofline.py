"""The roof: the best rates of arithmetic and of memory that this process reaches.

A matrix product is not the roof: direct 3×3 convolutions were faster by 11–29% on x86. So the
calibration is a set of products and convolutions, and the fastest counts. FLOPs are those of the
direct algorithm: where a library uses Winograd's, the rate is direct-equivalent.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from vggcalc.protocol import RoofRates
from vggcalc.results import Configuration
from vggcalc.runtime.time.arms import TORCH_MEMORY_FORMATS
from vggcalc.runtime.time.devices import Device

#: Kernel, channels, size of the feature map.
CALIBRATION_CONVOLUTIONS = ((1, 256, 56), (3, 128, 56), (7, 64, 56))
CALIBRATION_PRODUCTS = (512, 1024, 2048, 4096, 8192)

#: How long each of them runs, about.
CALIBRATION_S = 0.1


def calibrate(configuration: Configuration, where: Device) -> RoofRates:
    """Run each of the set for about `CALIBRATION_S`, and a copy much larger than the caches."""
    dtype = getattr(torch, configuration.dtype)
    rates: dict[str, float] = {}
    with torch.inference_mode():
        for n in CALIBRATION_PRODUCTS:
            if rates and 2 * n**3 / max(rates.values()) > CALIBRATION_S:
                break  # larger ones take too long here, and would be no faster
            left, right = (torch.rand(n, n).to(where.name, dtype) for _ in range(2))
            product = torch.empty(n, n, dtype=dtype, device=where.name)
            best = fastest(partial(torch.mm, left, right, out=product), where, CALIBRATION_S)
            rates[f"matrix product of {n}"] = 2 * n**3 / best
        for kernel, channels, size in CALIBRATION_CONVOLUTIONS:
            conv = nn.Conv2d(channels, channels, kernel, padding=kernel // 2).to(where.name, dtype)
            memory_format = TORCH_MEMORY_FORMATS[configuration.memory_format]
            conv = conv.to(memory_format=memory_format)  # type: ignore[call-overload]
            image = torch.rand(1, channels, size, size).to(where.name, dtype)
            image = image.contiguous(memory_format=memory_format)
            best = fastest(partial(conv, image), where, CALIBRATION_S)
            flops = 2 * channels**2 * kernel**2 * size**2
            rates[f"{kernel}×{kernel} convolution, {channels} channels"] = flops / best
        source = torch.ones(2**26, dtype=torch.float32, device=where.name)
        target = source.clone()  # whose pages are there already
        best = fastest(lambda: target.copy_(source), where, CALIBRATION_S)
        bandwidth = 2 * source.numel() * source.element_size() / best
    peak_by = max(rates, key=lambda name: rates[name])
    return RoofRates(rates[peak_by], bandwidth, peak_by)


def fastest(call: Callable[[], object], where: Device, seconds: float) -> float:
    """Seconds of the fastest call within about `seconds`, in timings that the clock resolves.

    A first call that alone takes longer is the only one.
    """
    start = where.clock()
    call()
    first = max(where.clock() - start, 1e-9)
    if first > seconds:
        return first
    calls = max(1, int(where.least_timing_s() / first))
    best = first
    while where.clock() - start < seconds:
        before = where.clock()
        for _ in range(calls):
            call()
        best = min(best, (where.clock() - before) / calls)
    return max(best, 1e-9)
