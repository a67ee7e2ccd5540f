"""The roof: the best rates of arithmetic and of memory that this process sees.

A matrix product is not the roof: direct 3×3 convolutions were faster by 11–29% on x86. So the
calibration is a set, and its best counts. The rates are of direct arithmetic: where a library
takes Winograd's way, they are what a direct convolution of that speed would need.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from vggcalc.jobs import Peaks
from vggcalc.results import Configuration
from vggcalc.runtime.arms import MEMORY_FORMATS
from vggcalc.runtime.devices import Device

#: Kernel, channels, map.
CONVOLUTIONS = ((1, 256, 56), (3, 128, 56), (7, 64, 56))
PRODUCTS = (512, 1024, 2048)

#: For all of them together; each is called three times at least.
SECONDS = 1.0


def calibrate(configuration: Configuration, where: Device) -> Peaks:
    """Each of the set for its share of `SECONDS`, and a copy much larger than the caches."""
    dtype = getattr(torch, configuration.dtype)
    share = SECONDS / (len(CONVOLUTIONS) + len(PRODUCTS) + 1)
    rates: dict[str, float] = {}
    with torch.inference_mode():
        for n in PRODUCTS:
            left, right = (torch.rand(n, n).to(where.name, dtype) for _ in range(2))
            product = torch.empty(n, n, dtype=dtype, device=where.name)
            best = fastest(partial(torch.mm, left, right, out=product), where, share)
            rates[f"matrix product of {n}"] = 2 * n**3 / best
        for kernel, channels, size in CONVOLUTIONS:
            conv = nn.Conv2d(channels, channels, kernel, padding=kernel // 2).to(where.name, dtype)
            memory_format = MEMORY_FORMATS[configuration.memory_format]
            conv = conv.to(memory_format=memory_format)  # type: ignore[call-overload]
            image = torch.rand(1, channels, size, size).to(where.name, dtype)
            image = image.contiguous(memory_format=memory_format)
            best = fastest(partial(conv, image), where, share)
            flops = 2 * channels**2 * kernel**2 * size**2
            rates[f"{kernel}×{kernel} convolution, {channels} channels"] = flops / best
        source = torch.ones(2**26, dtype=torch.float32, device=where.name)
        target = torch.empty_like(source)
        best = fastest(lambda: target.copy_(source), where, share)
        bandwidth = 2 * source.numel() * source.element_size() / best
    peak_by = max(rates, key=lambda name: rates[name])
    return Peaks(rates[peak_by], bandwidth, peak_by)


def fastest(call: Callable[[], object], where: Device, seconds: float) -> float:
    """Seconds of the fastest call, of at least three, within about `seconds`."""
    call()
    times: list[float] = []
    start = where.clock()
    while len(times) < 3 or where.clock() - start < seconds:
        before = where.clock()
        call()
        times.append(where.clock() - before)
    return max(min(times), 1e-9)
