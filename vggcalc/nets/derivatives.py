"""What autograd saves for torch's functions, by the rules of torch's tools/autograd/derivatives.yaml."""

#: torch saves the index of each maximum as an int64.
INDEX_BYTES = 8

#: Functions through which no gradient flows.
WITHOUT_GRADIENT = {
    function
    for functions in (
        "eq ne lt le gt ge isnan isinf isfinite isin logical_not logical_and logical_or logical_xor any all",
        "argmax argmin count_nonzero bucketize searchsorted one_hot nonzero",
        "detach bernoulli floor_divide zero fill",
    )
    for function in functions.split()
}

#: What autograd saves for the functions of `Operation`s and `Window`s, beside `Traced.steering`: "nothing", their
#: "output", the "first" of their inputs, or "both". In place the first input is copied before it is saved.
SAVES: dict[str, str] = {
    function: what
    for what, functions in {
        "nothing": (
            "add sub rsub neg cat stack pad slice mean sum cumsum pixel_shuffle pixel_unshuffle channel_shuffle "
            "upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_linear1d upsample_bilinear2d "
            "upsample_bicubic2d upsample_trilinear3d roll flip select alias to unbind chunk split "
            "split_with_sizes reshape flatten view contiguous clone _to_copy repeat repeat_interleave unused constant "
            "copy tril triu floor ceil round trunc sign remainder fmod im2col col2im embedding index index_select "
            "index_put index_copy index_fill scatter masked_fill where"
        ),
        "output": "sigmoid tanh softmax log_softmax exp rsqrt sqrt reciprocal",
        "first": (
            "hardswish hardsigmoid hardtanh relu6 leaky_relu mish elu celu selu softplus hardshrink softshrink "
            "clamp clamp_min clamp_max abs erf square log log2 log10 log1p sin cos var prelu glu gather "
            "avg_pool1d avg_pool2d avg_pool3d reflection_pad replication_pad"
        ),
        "both": "amax amin norm linalg_vector_norm logsumexp prod std",
    }.items()
    for function in functions.split()
}

#: Those of "first" that save their output instead where they run in place.
BY_OUTPUT = frozenset(("leaky_relu", "elu", "celu", "selu"))

#: Those that put out values and their indices, and save the indices.
WITH_INDICES = frozenset(("topk", "sort", "max", "min", "median", "nanmedian", "kthvalue", "mode"))

#: Those of two operands that save one for the gradient of the other, also where that one is no activation.
OPERANDS = frozenset(("mul", "div", "maximum", "minimum", "grid_sampler"))
