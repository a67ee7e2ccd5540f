"""The accepted values of options with a fixed set, apart from their meaning, so that importing them is cheap."""

#: Where a split convolution's stride stands, which layer changes the channels, where it pads, and what stands between
#: its layers; defaults first.
STRIDE_AT = ("last", "first")
WIDEN = ("first", "last")
PAD_AT = ("each", "first")
BETWEEN = ("activation", "nothing")

#: The costs that every replacement may be held to lower.
IF_FEWER = ("macs", "parameters")

ACTIVATIONS = ("relu", "gelu", "silu", "none")

#: Bytes of one element of each dtype.
ITEMSIZE: dict[str, int] = {"float32": 4, "float64": 8, "bfloat16": 2, "float16": 2}

#: How a module may be run; defaults first.
MODES = ("inference", "training")
MEMORY_FORMATS = ("contiguous", "channels_last")
