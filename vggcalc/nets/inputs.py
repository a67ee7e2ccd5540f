"""What a model is called with where it is not one image: several tensors, integers, keywords."""

import re

import msgspec

from vggcalc.errors import InputError
from vggcalc.nets.layers import LARGEST_DIMENSION, Shape

#: The dtypes that an input may be said to have, by torch's names.
DTYPES = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "uint8", "bool")


class TensorSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """A tensor by its shape: an argument of `forward` by its position, or by `name`.

    `dtype` None is that of the module's weights, or int64 where it goes into an embedding first.
    """

    shape: Shape
    dtype: str | None = None
    name: str | None = None


def input_shape(text: str) -> Shape:
    """`1x3x224x224` as a shape. Raises `InputError`."""
    if re.fullmatch(r"\d{1,18}([x×]\d{1,18}){0,7}", text, re.ASCII) is None:
        raise InputError(f"input {text!r} is no shape: write all of it, batch first, such as 1x3x224x224")
    shape = tuple(int(n) for n in re.split("[x×]", text))
    if not all(1 <= n <= LARGEST_DIMENSION for n in shape):
        raise InputError(f"input {text}: every size must be from 1 to {LARGEST_DIMENSION:,}")
    return shape


def tensor_spec(text: str) -> TensorSpec:
    """`1x3x224x224`, `1x77:int64` or `context=1x77x768` as a tensor. Raises `InputError`."""
    name, equals, rest = text.rpartition("=")
    if equals and not name.isidentifier():
        raise InputError(f"input {text!r}: {name!r} is no argument's name")
    sizes, colon, dtype = rest.partition(":")
    if colon and dtype not in DTYPES:
        raise InputError(f"input {text!r}: {dtype!r} is no dtype: write one of {', '.join(DTYPES)}")
    return TensorSpec(input_shape(sizes), dtype or None, name or None)
