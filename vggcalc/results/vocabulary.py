"""What each figure is called: its heading in tables, its key in JSON, its name in conditions; its unit and definition.

Tables, conventions, `vggcalc costs` and the reference are made from here, so that a figure has one name everywhere.
"""

import msgspec


class Definition(msgspec.Struct, frozen=True):
    """A figure: how tables head it, its unit, and what it is.

    `key` is where it stands in the JSON of a variant, or of what `key` begins with; `condition` its name in --fail-if,
    empty where it is none.
    """

    heading: str
    key: str
    condition: str
    unit: str
    text: str


_COSTS = (
    ("parameters", "parameters", "count", "learnable scalars, biases and affine norm parameters included; "
     "params where there is little room"),
    ("trainable", "trainable", "count", "those of the parameters that require a gradient"),
    ("macs", "MACs", "count", "multiply-accumulates of convolutions and matrix products, of a weight with an "
     "activation or of two activations; nothing else is a MAC"),
    ("product_macs", "product MACs", "count", "those of the MACs that multiply two activations with each other, as in "
     "attention"),
    ("flops", "FLOPs", "count", "2 × MACs"),
    ("activations", "activations", "elements", "outputs of convolutions, linear layers and matrix products, as fvcore "
     "and timm define it"),
    ("output_bytes", "outputs", "bytes", "outputs of all layers, but for views and what runs in place"),
    ("weight_bytes", "weights", "bytes", "parameters × bytes of an element"),
    ("traffic_bytes", "traffic", "bytes", "compulsory traffic: every layer reads its inputs and weights once and "
     "writes its output once"),
    ("peak_activation_bytes", "peak activations", "bytes", "the most bytes of activations that are alive at once in "
     "inference"),
    ("saved_bytes", "saved activations", "bytes", "activations that training saves for the backward pass, each tensor "
     "once, without parameters and buffers"),
    ("training_flops", "training FLOPs", "count", "forward, gradient of the weights and gradient of the input, which "
     "the first layer has not; no optimizer"),
    ("intensity", "FLOPs/byte", "FLOPs/byte", "FLOPs / compulsory traffic"),
)  # fmt: skip

#: The costs of a variant, a block or a layer, by the keys of `costs`; also the columns of a CSV.
COST_DEFINITIONS: dict[str, Definition] = {
    name: Definition(heading, f"costs.{name}", name, unit, text) for name, heading, unit, text in _COSTS
}

#: What else is known of a variant without measuring.
STRUCTURE_DEFINITIONS: tuple[Definition, ...] = (
    Definition(
        "RF",
        "receptive_field.size",
        "receptive_field",
        "input positions",
        "receptive field by axis: on how many input positions one output unit depends",
    ),
    Definition("convolutions", "convolutions", "convolutions", "count", "convolutions, 1×1 included"),
    Definition("nonlinearities", "nonlinearities", "nonlinearities", "count", "activation functions"),
    Definition(
        "weights per channel pair",
        "weights_per_channel_pair",
        "",
        "count",
        "weights of the kernels for one input and one output channel: 49 of a 7×7, 27 of three 3×3; also weights/pair",
    ),
    Definition(
        "padded", "layers[].same_size", "", "positions", "feature map where padding keeps the size, stride apart"
    ),
    Definition("unpadded", "layers[].valid_size", "", "positions", "feature map without any padding"),
    Definition("coverage", "coverage.window", "", "", "which positions of the kernel's window a factorization sees"),
    Definition("mixing", "coverage.mixing", "", "", "whether each output channel can depend on every input channel"),
)

#: Ratios and changes, of every cost and of the latency.
RATIO_DEFINITIONS: tuple[Definition, ...] = (
    Definition(
        "Δ",
        "ratios[].costs.NAME",
        "ratio.NAME",
        "ratio",
        "variant / baseline of the figure behind the sign, shown as the change in percent or, from 2 on, as a factor",
    ),
    Definition("ratio", "ratios[].costs.NAME", "ratio.NAME", "ratio", "variant / baseline; × where there are many"),
    Definition("change", "changes", "against.NAME", "ratio", "the same as Δ; in conditions now / earlier"),
)

#: What was measured.
LATENCY_DEFINITIONS: tuple[Definition, ...] = (
    Definition("median", "latency[].median_s", "latency", "seconds", "time of one call, the median of all rounds"),
    Definition("IQR", "latency[].iqr_s", "", "seconds", "distance between the quartiles of the rounds"),
    Definition("GFLOP/s", "latency[].flops_per_s", "", "10⁹ FLOPs/s", "FLOPs / median"),
    Definition("of roof", "latency[].roof_share", "", "share", "of what the roofline allows this variant"),
    Definition("bound by", "latency[].bound", "", "", "which side of the roofline limits it: compute or memory"),
    Definition(
        "speed-up",
        "ratios[].latency[].ratio",
        "ratio.latency",
        "ratio",
        "1 / ratio; the ratio in JSON and conditions is the median over rounds of variant / baseline",
    ),
    Definition("95% interval", "ratios[].latency[].ci95", "", "ratio", "of the speed-up; in JSON of the ratio"),
    Definition("verdict", "ratios[].latency[].verdict", "", "", "faster, slower, same, or unclear, by that interval"),
    Definition("A/A", "ratios[].latency[].control_ratio", "", "ratio", "a second copy of the baseline / the baseline"),
    Definition("A/A interval", "ratios[].latency[].control_ci95", "", "ratio", "95% interval of A/A"),
)


#: What --verify found.
VERIFICATION_DEFINITIONS: tuple[Definition, ...] = (
    Definition("border", "verification.border", "", "positions", "how many outputs from each edge may differ"),
    Definition("border seen", "verification.border_seen", "", "positions", "how many of them did differ"),
    Definition(
        "interior error", "verification.interior_error", "", "share", "largest difference / largest output, inside"
    ),
    Definition("border error", "verification.border_error", "", "share", "the same within the border"),
    Definition(
        "padded once", "verification.pads_once_error", "", "share", "the same where the first layer has all padding"
    ),
)

#: Every one by what it is of, costs first.
DEFINITIONS: dict[str, tuple[Definition, ...]] = {
    "Costs of a variant, a block or a layer": tuple(COST_DEFINITIONS.values()),
    "Structure of a variant": STRUCTURE_DEFINITIONS,
    "Ratios and changes of each of these": RATIO_DEFINITIONS,
    "Measured": LATENCY_DEFINITIONS,
    "Verified": VERIFICATION_DEFINITIONS,
}
