"""What other counters report for a network, and how that follows from its exact MACs.

A counter is a rule in `COUNTERS`, as data: its figure is `factor` × MACs plus its terms, each an amount for every
layer of some kinds, in the counter's own unit. To add one, read its source, give every operator that it treats in
its own way a `Term` (with a new function in `amounts` if none fits), name version and source, and record what it
reports with tests/record_counters.py: the tests compare the rules with those records, and with the counter itself
where it is installed. It is over 300 lines long because the rules stand side by side.
"""

import msgspec

from vggcalc.analysis.counters import amounts
from vggcalc.analysis.counters.amounts import affine, biases, inputs, outputs, uncounted
from vggcalc.analysis.counters.terms import ANY, AVERAGE_POOLS, FUNCTION, MODULE, Counter, Term, caller, kind_of
from vggcalc.errors import unknown
from vggcalc.results import ReconciledLine, Reconciliation, Variant


def reconcile(variant: Variant, counter: str) -> Reconciliation:
    """What that counter would report, from the exact MACs, term by term.

    Raises `InputError` for a counter that is not known.
    """
    counter = counter.lower()
    if counter not in COUNTERS:
        raise unknown("counter", counter, COUNTERS)
    rule = COUNTERS[counter]
    macs = int(variant.costs["macs"] or 0)
    total = rule.factor * macs
    lines, unsure = [], _doubts(variant, rule)
    for term in rule.terms:
        counted = []
        for layer in filter(term.applies, variant.layers):
            amount = term.amount(layer)
            if amount is None:
                unsure[kind_of(layer)] = unsure.get(kind_of(layer), 0) + 1
            elif amount:
                counted.append(term.times * amount)
        if counted:
            lines.append(ReconciledLine(term.name, len(counted), sum(counted)))
            total += sum(counted)
    if rule.decimals is not None:
        rounded = round(round(total / 10**9, rule.decimals) * 10**9)
        if rounded != total:
            lines.append(ReconciledLine(f"rounding to {rule.decimals} decimals of 10⁹", 0, rounded - total))
        total = rounded
    named = tuple(f"{kind} ×{n}" if n > 1 else kind for kind, n in unsure.items())
    return Reconciliation(
        counter,
        rule.figure,
        rule.version,
        rule.source,
        macs,
        rule.factor,
        tuple(lines),
        total,
        named,
        rule.note,
    )


def _doubts(variant: Variant, rule: Counter) -> dict[str, int]:
    """How many layers of which kinds there are of which it is not established how the counter treats them."""
    found: dict[str, int] = {}
    settled = {*rule.zero, *(kind for term in rule.terms for kind in term.kinds)}
    for layer in variant.layers:
        kind, by_whom = kind_of(layer), caller(layer)
        doubtful = any(kind in kinds and by in (ANY, by_whom) for by, kinds in rule.doubtful)
        if doubtful or (layer.type in ("Opaque", "MatrixProduct", "CustomOperator") and kind not in settled):
            found[kind] = found.get(kind, 0) + 1
    if rule.one_image and variant.layers[0].input_shape[:1] not in ((), (1,)):
        found["batch"] = variant.layers[0].input_shape[0]
    return found


# Kinds.

CONVOLUTION_KINDS = ("Conv1d", "Conv2d", "Conv3d")
TRANSPOSED = tuple(f"ConvTranspose{n}d" for n in (1, 2, 3))
WEIGHTED_KINDS = (*CONVOLUTION_KINDS, *TRANSPOSED, "Linear")
BATCH_NORMS = ("BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "batch_norm")
OTHER_NORMS = ("layer_norm", "group_norm", "instance_norm")
MAX_POOLS = ("MaxPool1d", "MaxPool2d", "MaxPool3d", "max_pool1d", "max_pool2d", "max_pool3d")
ADAPTIVE = ("AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d", "adaptive_avg_pool1d", "adaptive_avg_pool3d")
ADAPTIVE_MAX = ("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d")
POOLS = (*MAX_POOLS, *AVERAGE_POOLS, *ADAPTIVE, *ADAPTIVE_MAX)
AFFINE_NORMS = (*BATCH_NORMS, "group_norm", "instance_norm")
THOP_NORMS = (*BATCH_NORMS, "layer_norm", "instance_norm")
SCALED = (*BATCH_NORMS, *OTHER_NORMS, "rms_norm", "prelu")
#: Activations whose module and function ptflops counts apart.
TWICE = ("ReLU", "GELU", "elu", "prelu")
PRODUCT_KINDS = ("matmul", "mm", "bmm")
ATTENTION = ("scaled_dot_product_attention", "matmul", "mm", "bmm", "baddbmm")
RECURRENT = ("gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")
UPSAMPLING = tuple(f"upsample_{how}" for how in (
    "nearest1d", "nearest2d", "nearest3d", "linear1d", "bilinear2d", "bicubic2d", "trilinear3d"))  # fmt: skip

# Terms.

_CONVOLUTION_BIASES = Term("bias additions of convolutions", (*CONVOLUTION_KINDS, *TRANSPOSED), biases)
_LINEAR_BIASES = Term("bias additions of linear layers", ("Linear",), biases)
_BROADCAST = Term("products of two activations, by their first factor", PRODUCT_KINDS, amounts.beyond_first_factor)
_NOT_ADDED = Term("products that are added to something", ("baddbmm",), uncounted)
_NO_ATTENTION = Term("attention in one operator", ("scaled_dot_product_attention",), uncounted)
_NO_PRODUCTS = Term("products of two activations", ATTENTION, uncounted)
_BY_OUTPUTS = Term("transposed convolutions, by output and not input positions", TRANSPOSED, amounts.over_outputs)
_NOT_SEEN = Term("convolutions and linear layers that no module runs", WEIGHTED_KINDS, uncounted, by=FUNCTION)
_FVCORE = (
    Term("batch norm: twice its input, once without weights", BATCH_NORMS, affine(1, 2)),
    Term("other norms: 5 times their input, 4 times without weights", OTHER_NORMS, affine(4, 5)),
    Term("adaptive average pooling: its input", ("AdaptiveAvgPool2d",), inputs),
    Term("upsampling to the nearest: its output", ("upsample_nearest2d",), outputs),
    Term("bilinear sampling: 4 times its output", ("upsample_bilinear2d", "grid_sampler"), outputs, 4),
    _BROADCAST,
    _NOT_ADDED,
    _NO_ATTENTION,
)
_PATCHED = "Convolutions and linear layers called past torch.nn.functional count nothing"
_BY_NAME = "torch.add and torch.mul called by name and functional.relu count, +, * and torch.relu do not"
#: Inside nn.MultiheadAttention, which torch may run as one operator that hides them.
_HIDDEN = ((FUNCTION, ("Linear",)),)

COUNTERS: dict[str, Counter] = {
    "fvcore": Counter(
        figure="flops",
        factor=1,
        version="0.1.5.post20221221",
        source="fvcore/nn/flop_count.py, _DEFAULT_SUPPORTED_OPS",
        terms=_FVCORE,
        doubtful=_HIDDEN,
        note='A convolution with padding="same" counts nothing (aten::_convolution_mode)',
    ),
    "torch": Counter(
        figure="flops",
        factor=2,
        version="2.13.0",
        source="torch/utils/flop_counter.py, flop_registry",
        zero=(*ATTENTION, *RECURRENT),
    ),
    "torchinfo": Counter(
        figure="total mult-adds",
        factor=1,
        version="1.8.0",
        source="torchinfo/layer_info.py, LayerInfo.calculate_macs",
        terms=(
            _CONVOLUTION_BIASES,
            _BY_OUTPUTS,
            Term("bias additions of linear layers, once an image", ("Linear",), amounts.biases_per_sample),
            Term("linear layers, at one position an image", ("Linear",), amounts.beyond_first),
            Term("norms and PReLU: their weights and biases, once an image", SCALED, amounts.weights_per_sample),
            _NO_PRODUCTS,
        ),
        doubtful=((FUNCTION, (*WEIGHTED_KINDS, *SCALED)),),
    ),
    "ptflops": Counter(
        figure="MACs",
        factor=1,
        version="0.7.5",
        source="ptflops/pytorch_ops.py, MODULES_MAPPING and FUNCTIONAL_MAPPING, the default backend",
        terms=(
            _CONVOLUTION_BIASES,
            _LINEAR_BIASES,
            Term("activations, as a module and as its function", TWICE, outputs, 2, MODULE),
            Term("activations", TWICE, outputs, by=FUNCTION),
            Term("activations", ("leaky_relu",), outputs, by=MODULE),
            Term("activations", ("SiLU", "relu6"), outputs),
            Term("poolings' inputs, as a module and as its function", POOLS, inputs, 2, MODULE),
            Term("poolings' inputs", POOLS, inputs, by=FUNCTION),
            Term("norms: twice their input, once without weights", AFFINE_NORMS, affine(1, 2), by=MODULE),
            Term("layer norm: its input", ("layer_norm",), inputs, by=MODULE),
            Term("local response norm: its operators", ("LocalResponseNorm",), amounts.response_norm),
            Term("local response norm: its products and sums", ("mul", "add"), outputs, by=MODULE),
            Term("softmax: its input", ("softmax",), inputs, by=MODULE),
            _NOT_SEEN,
            Term("bias additions that no module runs", WEIGHTED_KINDS, amounts.uncounted_biases, by=FUNCTION),
        ),
        doubtful=((ANY, UPSAMPLING), (FUNCTION, ("softmax",))),
        one_image=True,
        note=_BY_NAME,
    ),
    "ptflops-aten": Counter(
        figure="MACs",
        factor=1,
        version="0.7.5",
        source="ptflops/aten_ops.py, ATEN_OPS_MAPPING, backend aten",
        terms=(
            _CONVOLUTION_BIASES,
            Term("bias additions of linear layers", ("Linear",), amounts.matrix_biases),
            _BROADCAST,
            _NOT_ADDED,
        ),
        one_image=True,
    ),
    "thop": Counter(
        figure="MACs",
        factor=1,
        version="0.1.1.post2209072238",
        source="thop/profile.py, register_hooks; thop/vision/basic_hooks.py",
        terms=(
            Term("norms: 4 times their input, twice without weights", THOP_NORMS, affine(2, 4), by=MODULE),
            Term("PReLU: its input", ("prelu",), inputs, by=MODULE),
            Term("average pooling: its output", AVERAGE_POOLS, outputs, by=MODULE),
            Term("adaptive average pooling: its input and output", ADAPTIVE, amounts.mean_of_map, by=MODULE),
            Term(
                "transposed convolutions, by output and not input positions",
                TRANSPOSED,
                amounts.over_outputs,
                by=MODULE,
            ),
            *(
                Term(f"upsampling: {times} times its output", kinds, outputs, times, MODULE)
                for times, kinds in (
                    (1, ("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d")),
                    (5, ("upsample_linear1d",)),
                    (11, ("upsample_bilinear2d",)),
                    (259, ("upsample_bicubic2d",)),
                )
            ),
            _NOT_SEEN,
            _NO_PRODUCTS,
        ),
        doubtful=((MODULE, ("softmax",)),),
    ),
    "calflops": Counter(
        figure="MACs",
        factor=1,
        version="0.3.2",
        source="calflops/pytorch_ops.py, _patch_functionals",
        terms=(
            Term("transposed convolutions, divided by their groups twice", TRANSPOSED, amounts.grouped_twice),
            _NO_ATTENTION,
        ),
        doubtful=_HIDDEN,
        note=_PATCHED,
    ),
    "calflops-flops": Counter(
        figure="FLOPs",
        factor=2,
        version="0.3.2",
        source="calflops/pytorch_ops.py, _patch_functionals",
        terms=(
            Term("bias additions of convolutions", CONVOLUTION_KINDS, biases),
            Term(
                "bias additions of transposed convolutions, as of a plain one",
                TRANSPOSED,
                amounts.mirrored_biases,
            ),
            Term("transposed convolutions, divided by their groups twice", TRANSPOSED, amounts.grouped_twice, 2),
            Term("activations", (*TWICE, "SiLU", "leaky_relu"), inputs),
            Term("activations", ("relu6",), inputs, by=FUNCTION),
            Term("poolings' inputs", POOLS, inputs),
            Term("batch norm: twice its input, once without weights", BATCH_NORMS, affine(1, 2)),
            Term("other norms: 5 times their input, 4 times without weights", OTHER_NORMS, affine(4, 5)),
            Term("local response norm: its operators", ("LocalResponseNorm",), amounts.response_norm),
            Term("local response norm: its products and sums", ("mul", "add"), outputs, by=MODULE),
            Term("softmax: its input", ("softmax",), inputs, by=MODULE),
            msgspec.structs.replace(_NO_ATTENTION, times=2),
        ),
        doubtful=((ANY, UPSAMPLING), (FUNCTION, ("softmax", "Linear"))),
        note=f"{_PATCHED}. {_BY_NAME}",
    ),
    "torchscan": Counter(
        figure="MACs",
        factor=1,
        version="0.2.0",
        source="torchscan/modules/macs.py, module_macs",
        terms=(
            Term("batch norm: twice its input, once without weights", BATCH_NORMS, affine(1, 2), by=MODULE),
            Term("max-pooling: k − 1 times its output, k×k the window", MAX_POOLS, amounts.window_taps(-1), by=MODULE),
            Term("average pooling: k − 1 + axes times its output", AVERAGE_POOLS, amounts.mean_window, by=MODULE),
            Term(
                "adaptive average pooling, so much for its window",
                ADAPTIVE,
                amounts.adaptive_window(True),
                by=MODULE,
            ),
            Term(
                "adaptive max-pooling, so much for its window",
                ADAPTIVE_MAX,
                amounts.adaptive_window(False),
                by=MODULE,
            ),
            _BY_OUTPUTS,
            Term("transposed convolutions' padding", TRANSPOSED, amounts.padding_operations),
            _NO_PRODUCTS,
        ),
        doubtful=((FUNCTION, (*WEIGHTED_KINDS, *BATCH_NORMS)),),
        note="A square pooling window is taken as given by one number, k, which the counter does not square",
    ),
    "torchvision": Counter(
        figure="_ops, labelled GFLOPS",
        factor=1,
        version="0.29.1",
        source="test/common_extended_utils.py, get_ops",
        zero=(*ATTENTION, *RECURRENT),
        decimals=3,
        one_image=True,
        note="The published figures are of the size that the weights' transforms crop to",
    ),
    "timm": Counter(
        figure="gmacs",
        factor=1,
        version="commit 6c376d8",
        source="benchmark.py, profile_fvcore: fvcore's figure",
        terms=_FVCORE,
        doubtful=_HIDDEN,
        decimals=2,
        one_image=True,
        note="With DeepSpeed installed benchmark.py takes DeepSpeed's MACs instead",
    ),
}
