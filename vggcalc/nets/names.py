"""The words that the command line offers, apart from what they mean: importing this costs nothing."""

#: Where a split convolution's stride stands, and which layer changes the channels; defaults first.
STRIDE_AT = ("last", "first")
WIDEN = ("first", "last")

ACTIVATIONS = ("relu", "gelu", "silu", "none")

#: Bytes of one element of each dtype.
ITEMSIZE: dict[str, int] = {"float32": 4, "float64": 8, "bfloat16": 2, "float16": 2}

#: How a module may be run; defaults first.
MODES = ("inference", "training")
MEMORY_FORMATS = ("contiguous", "channels_last")
