"""`factorize` of a trained kernel: what of it each factorization can say."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import msgspec

from vggcalc.analysis.kernels import factorize_kernel
from vggcalc.errors import InputError
from vggcalc.library.arguments import wrong_type
from vggcalc.library.factorizing import FactorizingOptions
from vggcalc.library.kernels import KernelOptions
from vggcalc.measurement.fitting import FitEach, kernel_in
from vggcalc.nets.families import by_times, factorized
from vggcalc.nets.fitting import KernelVariants
from vggcalc.nets.kernel import following
from vggcalc.nets.layers import Axes
from vggcalc.results import Comparison, FittedKernel, TrainedKernel
from vggcalc.results.fitted import ReadKernel

#: Is called with what is being fitted.
Noted = Callable[[str], None]


def factorize_trained(
    kernel_size: int | Axes,
    kernel: KernelOptions,
    factorizing: FactorizingOptions,
    weights: Any,
    key: str | None,
    dtype: str,
    note: Noted = lambda text: None,
) -> Comparison:
    """`factorize` of a tensor, or of the one named `key` in a file of weights; into all families unless some are named.

    Channels and groups are the kernel's: with one channel in for each that comes out it is depthwise, unless `groups`
    say otherwise. Raises `TypeError` for weights that are neither a path nor a tensor, `InputError` for a kernel that
    cannot be read, or is another than the options say.
    """
    kernel.check()
    if factorizing.into is None:
        factorizing = msgspec.structs.replace(factorizing, into="all")
    with _opened(weights, key) as (read, fit_each):
        size, options = _of_shape(kernel_size, kernel, read)
        one = options.kernel(size)
        factorizations = factorizing.factorizations((one.dims,))
        comparison = factorize_kernel(one, factorizations, dtype)
        conv = one.convolution(factorizations.values())
        found = {comparison.baseline: FittedKernel(1.0, 0.0, read.windows)}
        followers = following(one.out_channels, one.batch_norm, one.activation, one.dims)
        variants = tuple(
            (name, factorized(conv, own), tuple(own.between_layers(followers)))
            for name, own in factorizations.items()
            if name in comparison
        )
        wanted = KernelVariants(conv, (1, *one.input_shape[1:]), variants)
        note(f"fitting {wanted.variants[0][0]}")
        for done, variant in enumerate(fit_each(wanted), 1):
            found[variant.variant] = variant.kernel
            if done < len(wanted.variants):
                note(f"fitting {wanted.variants[done][0]}")
    into, out = conv.in_channels // conv.groups, conv.out_channels // conv.groups
    pairs = tuple(
        msgspec.structs.replace(pair, in_channel=pair.in_channel + pair.out_channel // out * into)
        for pair in read.pairs
    )
    return msgspec.structs.replace(
        comparison,
        variants=tuple(msgspec.structs.replace(variant, fitted=found[variant.name]) for variant in comparison),
        trained=TrainedKernel(os.fspath(weights) if isinstance(weights, str | os.PathLike) else "", read.key, pairs),
    )


def _opened(weights: Any, key: str | None) -> AbstractContextManager[tuple[ReadKernel, FitEach]]:
    """A file's kernel in a worker, a tensor in this process."""
    if isinstance(weights, str | os.PathLike):
        return kernel_in(os.path.abspath(os.fspath(weights)), key)
    from torch import Tensor

    if not isinstance(weights, Tensor):
        raise wrong_type("weights", weights, "the path of a .safetensors or .pt file, or a torch.Tensor")
    return _kernel_here(weights.detach(), key)


@contextmanager
def _kernel_here(weight: Any, key: str | None) -> Iterator[tuple[ReadKernel, FitEach]]:
    from vggcalc.runtime.checkpoints import sees_a_window
    from vggcalc.runtime.fit.variants import fit_variants, read_kernel

    if not sees_a_window(weight):
        raise InputError(f"weights are no kernel that sees more than one position: they are {by_times(weight.shape)}")
    read = read_kernel(weight, key or "weights", None)
    yield read, lambda wanted: fit_variants(weight, None, read, wanted)


def _of_shape(kernel_size: int | Axes, kernel: KernelOptions, read: ReadKernel) -> tuple[int | Axes, KernelOptions]:
    """The size and options with what the kernel's shape says. Raises `InputError` where they say something else."""
    out, into, *window = read.shape
    wanted = (kernel_size,) * len(window) if isinstance(kernel_size, int) else kernel_size
    if wanted != tuple(window):
        size = by_times(tuple(window)).replace("×", "x") if len(set(window)) > 1 else window[0]
        raise InputError(f"{read.key} is a {by_times(tuple(window))} kernel, not {by_times(wanted)}: ask for {size}")
    groups = _groups_of_kernel(kernel, out, into)
    channels = {"in_channels": into * groups, "out_channels": out}
    for name, value in (*channels.items(), ("channels", out), ("channels", into * groups), ("dims", len(window))):
        given = getattr(kernel, name)
        if given not in (None, value):
            raise InputError(f"{name} {given} is not of {read.key}, which has {value}: leave it out")
    found = msgspec.structs.replace(
        kernel,
        **channels,
        channels=None,
        groups=groups,
        depthwise=False,
        dims=len(window),
        bias=kernel.bias and read.bias is not False,
    )
    return wanted, found


def _groups_of_kernel(kernel: KernelOptions, out: int, into: int) -> int:
    """The groups that are given, or that the channels in say; of one channel in for each group as many as come out."""
    if kernel.groups is not None:
        return kernel.groups
    for given in (kernel.in_channels, kernel.channels):
        if given is not None and given % into == 0 and not kernel.depthwise:
            return given // into
    return out if into == 1 or kernel.depthwise else 1
