"""The amounts that other counters add for a layer: each an integer, of the elements or MACs named.

None where that does not follow from the layer. Which counter adds which is in `rules.COUNTERS`.
"""

from collections.abc import Callable
from math import prod

from vggcalc.nets.layers import WEIGHTED, BatchNorm, Convolution, Linear, LocalResponseNorm
from vggcalc.results import LayerResult

#: What a counter adds for one layer.
Amount = Callable[[LayerResult], int | None]


def outputs(layer: LayerResult) -> int:
    """Output elements."""
    return prod(layer.output_shape)


def inputs(layer: LayerResult) -> int:
    """Elements of the first input."""
    return prod(layer.input_shape)


def biases(layer: LayerResult) -> int:
    """Output elements that get a bias."""
    return outputs(layer) if _has_bias(layer) else 0


def uncounted(layer: LayerResult) -> int | None:
    """−MACs: the counter leaves the layer out."""
    macs = layer.costs["macs"]
    return None if macs is None else -int(macs)


def uncounted_biases(layer: LayerResult) -> int:
    """−output elements that get a bias: the counter leaves the layer out."""
    return -biases(layer)


def affine(plain: int, scaled: int) -> Amount:
    """Input elements × `plain`, or × `scaled` where the norm has weights."""

    def amount(layer: LayerResult) -> int | None:
        weights = _norm_weights(layer)
        return None if weights is None else inputs(layer) * (scaled if weights else plain)

    return amount


def _norm_weights(layer: LayerResult) -> int | None:
    """Weights and biases of a norm or PReLU. A traced one without any may share another layer's."""
    if isinstance(layer.layer, BatchNorm):
        return 2 * layer.layer.num_features * layer.layer.affine
    return layer.traced.parameters or None if layer.traced else None


def weights_per_sample(layer: LayerResult) -> int | None:
    """Batch size × weights and biases of a norm or PReLU: torchinfo's rule for what is no convolution."""
    weights = _norm_weights(layer)
    return None if weights is None else layer.output_shape[0] * weights


def biases_per_sample(layer: LayerResult) -> int:
    """Batch size × biases of a linear layer, where each is added at every position: torchinfo's rule."""
    return layer.output_shape[0] * _linear_of(layer).out_features if _has_bias(layer) else 0


def beyond_first(layer: LayerResult) -> int:
    """Batch size × weights − MACs of a linear layer that is applied at every position: torchinfo's rule."""
    into, out = _linear_of(layer).in_features, _linear_of(layer).out_features
    return layer.output_shape[0] * into * out - outputs(layer) * into


def matrix_biases(layer: LayerResult) -> int | None:
    """Output elements that get a bias if the input is a matrix; else torch may add it by another operator."""
    return biases(layer) if len(layer.output_shape) == 2 or not _has_bias(layer) else None


def over_outputs(layer: LayerResult) -> int:
    """Of a transposed convolution, weights × output positions − MACs, which has input positions."""
    conv = _convolution_of(layer)
    return outputs(layer) * (conv.in_channels // conv.groups) * prod(conv.kernel_size) - int(layer.costs["macs"] or 0)


def grouped_twice(layer: LayerResult) -> int:
    """Of a transposed convolution, MACs with the output channels divided by the groups twice − MACs."""
    macs, conv = int(layer.costs["macs"] or 0), _convolution_of(layer)
    out = conv.out_channels // conv.groups
    return macs // out * (out // conv.groups) - macs


def mirrored_biases(layer: LayerResult) -> int:
    """Of a transposed convolution, out/groups × the positions that a plain convolution would put out."""
    conv = _convolution_of(layer)
    if not conv.bias:
        return 0
    axes = zip(layer.input_shape[2:], conv.kernel_size, conv.stride, conv.padding, conv.dilation, strict=True)
    positions: int = prod((n + 2 * p - (d * (k - 1) + 1)) // s + 1 for n, k, s, p, d in axes)
    return layer.input_shape[0] * (conv.out_channels // conv.groups) * positions


def padding_operations(layer: LayerResult) -> int:
    """4 for each spatial axis."""
    return 4 * (len(layer.output_shape) - 2)


def window_taps(beside: int) -> Amount:
    """Output elements × (k + `beside`), where a window of k×k is k if, being square, given as one number."""

    def amount(layer: LayerResult) -> int | None:
        kernel = layer.kernel_size
        if kernel is None:
            return None
        size = kernel[0] if len(set(kernel)) == 1 else prod(kernel)
        return outputs(layer) * (size + beside)

    return amount


def mean_window(layer: LayerResult) -> int | None:
    """Output elements × (k − 1 + spatial axes), k as for `window_taps`."""
    return window_taps(len(layer.output_shape) - 3)(layer)


def adaptive_window(mean: bool) -> Amount:
    """Output elements × (∏ k − 1, of a mean + axes); k is n/m for sizes of n and m, else n % m + 1."""

    def amount(layer: LayerResult) -> int:
        sizes = zip(layer.input_shape[2:], layer.output_shape[2:], strict=True)
        kernel = [n % m + 1 if n % m else n // m for n, m in sizes]
        return outputs(layer) * (prod(kernel) - 1 + mean * len(kernel))

    return amount


def mean_of_map(layer: LayerResult) -> int:
    """⌊Output elements × (1 + ∏ n/m)⌋ in floating point, n and m the sizes of input and output."""
    sizes = zip(layer.input_shape[2:], layer.output_shape[2:], strict=True)
    return int((prod(n / m for n, m in sizes) + 1) * outputs(layer))


def beyond_first_factor(layer: LayerResult) -> int | None:
    """Elements of the first factor × columns of the second − MACs: not 0 where the first is broadcast."""
    both = len(layer.inputs) == 2 and len(layer.input_shape) == len(layer.output_shape)
    return inputs(layer) * layer.output_shape[-1] - int(layer.costs["macs"] or 0) if both else None


def response_norm(layer: LayerResult) -> int:
    """Three elementwise operators, and an average pooling over channels padded by size − 1."""
    assert isinstance(layer.layer, LocalResponseNorm), layer.type
    channels, size = layer.input_shape[1], layer.layer.size
    return 3 * inputs(layer) + inputs(layer) // channels * (channels + size - 1)


def _convolution_of(layer: LayerResult) -> Convolution:
    assert isinstance(layer.layer, Convolution), layer.type
    return layer.layer


def _linear_of(layer: LayerResult) -> Linear:
    assert isinstance(layer.layer, Linear), layer.type
    return layer.layer


def _has_bias(layer: LayerResult) -> bool:
    assert isinstance(layer.layer, WEIGHTED), layer.type
    return layer.layer.bias
