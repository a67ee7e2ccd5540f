"""Cheaper replacements for a network's first convolution, where the stack costs more than the convolution itself."""

from collections.abc import Sequence

from vggcalc.nets.families import Factorization, factorized
from vggcalc.nets.layers import PlainConvolution
from vggcalc.nets.shapes import output_shape
from vggcalc.results import CheaperStem, Replacement, Variant


def cheaper_stems(baseline: Variant, replaced: Sequence[Replacement]) -> tuple[CheaperStem, ...]:
    """For each stem among `replaced`, by a stack, that now does more MACs: a stack that does fewer than that one.

    A stem has a stride and more channels out than in. The stack has its stride in the first layer and half of the
    channels out between its layers, as ResNet-C's has (He et al. 2018); `factorize --stem` has it among others.
    """
    layers = {layer.name: layer for layer in baseline.layers}
    found = []
    for one in replaced:
        stem, (before, after) = layers[one.before[0]], (int(side["macs"] or 0) for side in one.costs)
        conv = stem.layer
        if not isinstance(conv, PlainConvolution) or conv.groups > 1 or after <= before:
            continue
        if conv.in_channels >= conv.out_channels or max(conv.stride) == 1 or len(set(conv.kernel_size)) > 1:
            continue
        width = max(conv.out_channels // 2, 1)
        (chain,) = factorized(conv, Factorization(stride_at="first", widths=(width,)))
        macs, size, field, jump = 0, stem.input_shape, 1, 1
        for part in chain:
            output = output_shape(part, [size])
            macs, size = macs + part.macs(size, output), output
            field, jump = field + (part.kernel_size[0] - 1) * part.dilation[0] * jump, jump * part.stride[0]
        if macs < after:
            kernels = tuple(part.kernel_size for part in chain)
            axes = len(conv.kernel_size)
            found.append(CheaperStem(one.name, conv.kernel_size, width, kernels, macs / before, (field,) * axes))
    return tuple(found)
