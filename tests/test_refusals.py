"""What nets/ refuses, each `raise` of it by a case of its own, and its guards at both sides of their boundaries."""

import ast
import os
import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from builders import PLANAR

from vggcalc import nets
from vggcalc.errors import FeatureMapTooSmall, InputError
from vggcalc.nets.candidates import in_file
from vggcalc.nets.families import FAMILIES, LARGEST_KERNEL, Factorization, check_kernel, factorized
from vggcalc.nets.fewer import check_fewer
from vggcalc.nets.fitting import Fitting
from vggcalc.nets.graph import INPUT, Network, Node, Traced, chain
from vggcalc.nets.inputs import input_shape, tensor_spec
from vggcalc.nets.kernel import Kernel
from vggcalc.nets.layers import (
    LARGEST_DIMENSION,
    AdaptiveAvgPool2d,
    Add,
    BatchNorm2d,
    Concat,
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
    check_number,
    spatial,
)
from vggcalc.nets.merging import merge
from vggcalc.nets.origins import Origin, arguments
from vggcalc.nets.patterns import check_pattern, found_in
from vggcalc.nets.reader import Kind, json_value, read_at_most, read_file, toml_value
from vggcalc.nets.replacing import Replacing, _branches, replace, split
from vggcalc.nets.shapes import output_shape, shapes
from vggcalc.nets.sources import LARGEST_FILE, load, network, parse_config
from vggcalc.nets.vgg import Config, from_config

SEVEN = Conv2d(8, 8, (7, 7), padding=3)
IMAGE = (1, 3, 8, 8)
OBJECT = Kind("object", "write one", 3, b"{")


def without_memory(size: int) -> bytes:
    raise MemoryError


def family(name: str, conv: Conv2d = SEVEN, **options: object) -> Callable[[], object]:
    return lambda: factorized(conv, Factorization(name, **options))


def square(kernel: int) -> Conv2d:
    return Conv2d(8, 8, (kernel, kernel), padding=kernel // 2)


PATCHES = Node("patches", Conv2d(3, 8, 7, stride=7), (INPUT,))
STAYS = Node("conv", SEVEN, (INPUT,), Traced("window", (8, 8), reason="it has hooks"))
TRANSPOSED = Node("conv", ConvTranspose1d(8, 8, 7, padding=3), (INPUT,), Traced("window", (8,), module="conv"))


#: What is done, and how it is refused.
REFUSED: list[tuple[Callable[[], object], str]] = [
    # chains
    (family("stack", stride_at=4), r"^stride_at 4 is no layer: there are 3$"),
    (family("stack", stride_at=0), r"^stride_at 0 is out of range: it must be at least 1$"),
    (family("stripes", Conv2d(8, 8, (7, 7))), r"kernel 7 puts out: a padding of at least 1 would$"),
    (family("separable-stack", Conv2d(8, 8, (7, 7), 2, 3), stride_at=9), r"^stride_at 9 is no layer: there are 4$"),
    (family("stack", Conv2d(8, 8, (7, 7), groups=2), widths=(3, 8, 8)), r"^widths 3,8,8: 3 is not divisible by the 2"),
    (family("stack", widths=(8, 8)), r"^widths 8,8 name 2 layers, but a 7×7 kernel becomes 3 here: name 3 widths$"),
    (family("stack", widths=(8, 8, 4)), r"^widths 8,8,4 must end with out_channels, 8$"),
    # fitting
    (lambda: Fitting(energy=1.5), r"^energy 1\.5 is no share: it is above 0 and at most 1, such as 0\.95$"),
    (lambda: Fitting(energy=0.9, saving=5), r"^energy and budget_macs both choose the widths: leave out one of them$"),
    # families
    (lambda: Factorization("stak"), r"^family 'stak' is unknown: did you mean stack\? There are stack, asymmetric, "),
    (lambda: Factorization(pad_at="last"), r"^pad_at 'last' is neither of each, first$"),
    (lambda: Factorization(between="norm"), r"^between 'norm' is neither of activation, nothing$"),
    (lambda: Factorization(stride_at="middle"), r"^stride_at 'middle' is neither of last, first, nor a layer's"),
    (lambda: Factorization(widen="both"), r"^widen 'both' is neither of first, last$"),
    (lambda: check_kernel(7.0), r"^kernel 7\.0 is not a whole number"),
    (lambda: check_kernel(True), r"^kernel True is not a whole number"),
    (lambda: check_kernel(0), r"^kernel 0 is not positive"),
    (lambda: check_kernel(1), r"^kernel 1 covers one position: there is nothing to factorize\. Try 5 or 7$"),
    (lambda: check_kernel(LARGEST_KERNEL + 1), rf"^kernel 1000 is too large: the largest is {LARGEST_KERNEL}$"),
    (family("stack", square(8)), r"^kernel 8 is even: a stack of 3×3 layers always sees .*\. Try 7 or 9$"),
    (family("stack", square(2)), r"^kernel 2 is even: .*\. Try 3$"),
    (family("separable-stack", square(8)), r"^kernel 8 is even: a stack of 3×3 layers"),
    (family("dilated", square(8)), r"^kernel 8 is even: a dilated 3×3 "),
    (family("dilated-stack", square(8)), r"^kernel 8 is even: a stack of dilated 3×3 layers "),
    (family("asymmetric", Conv2d(8, 8, (1, 7))), r"^kernel 1×7 lies along one axis: asymmetric is for two or more$"),
    (family("stripes", Conv1d(8, 8, 7)), r"^stripes means nothing in 1-D: it is for 2-D and 3-D kernels$"),
    (family("(2+1)d", Conv2d(8, 8, 7)), r"^\(2\+1\)d means nothing in 2-D: it is for 3-D kernels$"),
    (family("(2+1)d", Conv3d(8, 8, (1, 7, 7))), r"^kernel 1×7×7 has no time to factorize$"),
    (family("(2+1)d", Conv3d(8, 8, (7, 1, 1))), r"^kernel 7×1×1 has no space to factorize$"),
    (family("stack", Conv3d(8, 8, (3, 6, 7))), r"^kernel 3×6×7 is even: a stack of 3×3×3 .*Try 5 or 7 there$"),
    *((family(name, widths=(8,)), rf"^{name} has no width to choose") for name in PLANAR if not FAMILIES[name].widens),
    (family("large-kernel-attention", square(2)), r"^kernel 2: no dilation lets .*\. Try 3$"),
    (family("separable", Conv2d(8, 8, (7, 7), groups=8)), r"^it is depthwise already$"),
    (family("separable-stack", Conv2d(8, 8, (7, 7), groups=8)), r"^it is depthwise already, and its stack is what"),
    (
        family("bottleneck", Conv2d(8, 8, (7, 7), groups=8)),
        r"^a bottleneck in 8 groups leaves no fewer channels than 8$",
    ),
    (family("bottleneck", Conv2d(8, 1, (7, 7))), r"^a bottleneck leaves no fewer channels than 1$"),
    (family("cp", Conv2d(8, 8, (7, 7), groups=8)), r"^it is depthwise already, and a layer for each axis is what asym"),
    (family("cp", square(7), widths=(8, 4, 8, 8)), r"^widths 8,4,8,8: cp's depthwise layers put out the 8 channels"),
    (family("stripes", square(2)), r"^kernel 2 is too small for stripes\. Try 3$"),
    (lambda: from_config(Config("net", (64,) * 10_001), IMAGE), r"^features are 10,001 tokens: give at most 10,000$"),
    (
        lambda: replace(network("64@999," * 41 + "64"), Replacing()),
        r" would become more than 20,000 layers: replace fewer of them$",
    ),
    # patterns
    (lambda: check_pattern("a" * 1001), r"^only 'a{40}' … is longer than 1,000 characters"),
    (lambda: check_pattern("("), r"^only '\(' is no regular expression: missing \)"),
    (lambda: check_pattern("\ud800"), r"^only '\\ud800' is no text"),
    (lambda: check_pattern("x{99999999999}"), r"a number in it is too large$"),
    (lambda: found_in("(a+)+b", ("a" * 99,), 0.1), r"^only '\(a\+\)\+b' takes more than 0\.1 s"),
    # reader
    (lambda: read_at_most(BytesIO(b"[]").read, "x", OBJECT), r"^x is no object: write one$"),
    (lambda: read_at_most(BytesIO(b"{...").read, "x", OBJECT), r"^x is larger than 3 bytes: no object is$"),
    (lambda: read_at_most(without_memory, "x", OBJECT), r"^x is larger than the memory that is free: write one$"),
    (lambda: read_file("nowhere", OBJECT), r"^nowhere: No such file or directory: write one$"),
    (lambda: read_file(f"/dev/fd/{os.pipe()[0]}", OBJECT, 0.01), r": nobody writes to this pipe: write one$"),
    (lambda: read_file(__file__, OBJECT), r"test_refusals\.py is no object: write one$"),
    (lambda: json_value(r'"\ud800"', "x"), r"^x: malformed JSON: half of a surrogate pair"),
    (lambda: toml_value("[" * 9000, "x"), r"^x: malformed TOML"),
    (lambda: json_value("9" * 5000, "x"), r"^x: malformed JSON: Exceeds the limit"),
    (lambda: network(Config("n" * 301, (64,))), r"^n+: name 'n+' is longer than 300 characters$"),
    # graph
    (lambda: Network("net", IMAGE, ()), r"^net: a network needs at least one layer$"),
    (lambda: Network("net", IMAGE, (Node("a", ReLU(), ("b",)),)), r"^a reads \['b'\], which no node before it makes$"),
    (lambda: Network("net", IMAGE, (Node("a", ReLU(), ()),)), r"^a reads nothing, which no node before it makes$"),
    (
        lambda: Network("net", IMAGE, (Node("a", ReLU(), (INPUT,)), Node("a", ReLU(), ("a",)))),
        r"^two nodes are",
    ),
    (
        lambda: Network("net", IMAGE, (Node("a", ReLU(), (INPUT,)), Node("b", ReLU(), (INPUT,)))),
        r"^nothing reads a: only the last node is an output$",
    ),
    # kernel
    (lambda: Kernel(8).convolution([Factorization("stripes")]), r"^kernel 8 is even: .* such as 3, or try 7 or 9$"),
    (lambda: Kernel(7, dims=4), r"^dims 4 is none of 1, 2, 3$"),
    (lambda: Kernel((7, 7), dims=3), r"^kernel_size 7×7 has 2 numbers for 3 axes$"),
    (lambda: Kernel(7, causal=True, padding=3), r"^causal says the padding already: all in front, none behind\."),
    (lambda: Kernel(7, activation="tanh"), r"^activation 'tanh' is "),
    (lambda: Kernel(7, size=(7, 0)), r"^width 0 is out of range: it must be at least 1$"),
    # layers
    (lambda: Conv2d(3, 8, (3, 3, 3)), r"^kernel_size \(3, 3, 3\) is neither a number nor a pair \(height, width\)$"),
    (lambda: Conv1d(3, 8, (3, 3)), r"^kernel_size \(3, 3\) is neither a number nor \(length,\)$"),
    (lambda: Conv2d(3, 8, 3, 0), r"^stride 0 is out of range: it must be at least 1$"),
    (lambda: Conv2d(3, 8, 3, padding=-1), r"^padding -1 is out of range: it must be at least 0$"),
    (lambda: check_number("batch", "1"), r"^batch '1' is not a whole number$"),
    (lambda: check_number("batch", LARGEST_DIMENSION + 1), r"must be at most 2,147,483,647$"),
    (lambda: spatial("56"), r"^size '56' is neither a number nor a pair \(height, width\)$"),
    (lambda: spatial((1, 2, 3)), r"^size \(1, 2, 3\) is neither"),
    (lambda: Conv2d(8, 6, 3, groups=4), r"^4 groups do not divide out_channels 6: groups must divide both"),
    (lambda: Conv2d(6, 8, 3, groups=4), r"^4 groups do not divide in_channels 6: "),
    (lambda: MaxPool2d((3, 3), padding=2), r"^pool padding \(2, 2\) is more than half of \(3, 3\)$"),
    # origins
    (lambda: Origin("net.py:\ud800", IMAGE), r"is not UTF-8: no model has such a name or argument$"),
    (lambda: arguments(["a"]), r"^argument 'a' is not name=value"),
    (lambda: arguments(["a=1", "a=2"]), r"^argument 'a' is given twice$"),
    (lambda: arguments(["a=1e999"]), r"^argument 'a=1e999': the number is not finite$"),
    (lambda: arguments(["a=[1, [2]]"]), r"a list of them$"),
    (lambda: arguments(["a=[1e999]"]), r"the number is not finite$"),
    (lambda: arguments(["a={1: 2}"]), r"^argument 'a=\{1: 2\}': a value is a number, a word, true, false, none or a"),
    (lambda: input_shape("1,3"), r"^input '1,3' is no shape: write all of it"),
    (lambda: input_shape("0x3"), r"^input 0x3: every size must be from 1 to 2,147,483,647$"),
    (lambda: input_shape(f"1x{LARGEST_DIMENSION + 1}"), r"every size must be from 1 to"),
    # inputs
    (lambda: tensor_spec("1x3:int7"), r"^input '1x3:int7': 'int7' is no dtype: write one of float32, "),
    (lambda: tensor_spec("a b=1x3"), r"^input 'a b=1x3': 'a b' is no argument's name$"),
    # replacing
    (lambda: Replacing(only="["), r"^only '\[' is no regular expression: "),
    (lambda: Replacing(min_kernel=1), r"^min_kernel 1 is out of range: it must be at least 2$"),
    (lambda: split(SEVEN, Factorization("stripes")), r"^stripes has 2 branches, which are no chain of layers$"),
    (lambda: split(Network("net", (1, 8, 8, 8), (STAYS,), "traced")), r"^it has hooks$"),
    (
        lambda: split(Network("net", (1, 8, 8), (TRANSPOSED,), "traced")),
        r"^a ConvTranspose1d is not factorized: it is ",
    ),
    (lambda: _branches(STAYS, Factorization()), r"^it has hooks$"),
    (lambda: _branches(TRANSPOSED, Factorization()), r"^a ConvTranspose1d is not factorized: it is transposed$"),
    (lambda: Replacing(if_fewer="flops"), r"^if_fewer 'flops' is unknown: there are macs, parameters$"),
    (lambda: _branches(PATCHES, Factorization()), r"^its kernel is no larger than its stride: it cuts patches, and a"),
    (
        lambda: check_fewer([PATCHES], [PATCHES], {"patches": (1, 8, 1, 1)}, "macs"),
        r"^its replacement would have no fewer MACs$",
    ),
    (lambda: split(7), r"^7 is of type int: split takes a vggcalc\.Conv1d, Conv2d, Conv3d or Network$"),
    (
        lambda: merge(7),
        r"^merge takes a vggcalc\.Network or a sequence of vggcalc\.Conv1d, Conv2d or Conv3d, and no int$",
    ),
    (lambda: Replacing("stack"), r"^factorization 'stack' is no vggcalc\.Factorization$"),
    (lambda: merge([]), r"^nothing to merge: a run has at least one convolution$"),
    (lambda: merge([Conv2d(4, 4, 3), Conv2d(8, 8, 3)]), r"does not continue a run after "),
    # shapes
    (
        lambda: output_shape(MaxPool2d(), [(4,)]),
        r"^it needs \(batch, channels, height, width\), but the feature map is",
    ),
    (lambda: output_shape(MaxPool2d(), [(1, 1, 1, 1)]), r"^a 1×1 feature map is smaller than the 2×2 window$"),
    (lambda: output_shape(Conv2d(3, 4, 3), [(1, 4, 8, 8)]), r"^in_channels is 3, but the input is \(1, 4, 8, 8\)$"),
    (lambda: output_shape(Conv2d(3, 4, 3), [(8, 8)]), r"^in_channels is 3, but the input is \(8, 8\)$"),
    (lambda: output_shape(BatchNorm2d(3), [(1, 4, 8, 8)]), r"^num_features is 3, but the input is \(1, 4, 8, 8\)$"),
    (lambda: output_shape(AdaptiveAvgPool2d(1), [(1, 4)]), r"^it needs \(batch, channels, height, width\), but the"),
    (lambda: output_shape(Linear(3, 4), [(1, 4)]), r"^in_features is 3, but the input is \(1, 4\)$"),
    (lambda: output_shape(Add(), [(1, 4, 8, 8), (1, 4, 8, 7)]), r"^shapes differ: "),
    (lambda: output_shape(Concat(), [(1, 4, 8, 8), (1, 4, 8, 7)]), r"^shapes differ beside their channels: "),
    (lambda: output_shape(Concat(), [(1, 4, 8, 8), (2, 4, 8, 8)]), r"^shapes differ beside their channels: "),
    (lambda: shapes(chain("net", (3, 8), [("a", ReLU())])), r"^input_shape \(3, 8\) is not \(batch, channels, h"),
    (lambda: shapes(chain("net", (0, 3, 8, 8), [("a", ReLU())])), r"^batch 0 is out of range"),
    (
        lambda: shapes(chain("net", (1, 3, 3, 3), [("a", MaxPool2d()), ("a", MaxPool2d())])),
        r"^a\.pool2: a 1×1 feature map is smaller than the 2×2 window; the input must be at least 4×4$",
    ),
    (lambda: shapes(chain("net", IMAGE, [("a", Conv2d(4, 4, 3))])), r"^a\.conv1: in_channels is 4, but the input is"),
    # sources and vgg
    (lambda: load("vgg16,vgg19"), r"^vgg16,vgg19: write several models with spaces between them, such as vgg16 vgg19$"),
    (lambda: load(__file__), r"test_refusals\.py: which of its modules\? Write .*test_refusals\.py:NAME$"),
    (lambda: in_file(f"{Path(__file__).parent.parent}/README.md"), r"README\.md is no Python: "),
    (lambda: load("package.module:make"), r"^package\.module:make names no module: write package\.module:attribute, "),
    (lambda: load("model.onnx"), r"^model\.onnx is a graph of another framework"),
    (lambda: load("net.py:make(3)"), r"^net\.py:make\(3\) is a call: write net\.py:make --arg NAME=3$"),
    (lambda: network("64,D"), r"^64,D: token 2, 'D': "),
    (lambda: network("64", inputs=(3, 8, 9)), r"^64: input 3×8×9 is not all of its shape, .*did you mean 1x3x8x9\?$"),
    (lambda: network("64", inputs=(4, 8, 9)), r"did you mean 1x3x224x224\?$"),
    (lambda: network("googlenet", inputs=(3, 64, 96)), r"^googlenet: input 3×64×96 is not .*mean 1x3x64x96\?$"),
    (lambda: network("alexnet", inputs=(224, 224)), r"^alexnet: input 224×224 is not .*mean 1x3x224x224\?$"),
    (lambda: load("vgg18"), r"^unknown model 'vgg18': did you mean vgg1[169]\?$"),
    (
        lambda: load("nowhere/net.toml"),
        r"^nowhere/net\.toml: No such file or directory: a TOML or JSON file is",
    ),
    (lambda: load("-", BytesIO(b"\xff").read), r"^standard input is not text: byte 0 is not UTF-8"),
    (lambda: load("-", BytesIO(b" \n").read), r"^standard input is empty: name features"),
    (lambda: load("-", lambda size: b" " * size), r"^standard input is larger than 1,000,000 bytes"),
    (lambda: parse_config("key = 1", "net.toml"), r"^net\.toml: .*the keys are name, features, input, "),
    (lambda: parse_config('{"features": NaN}', "net.json"), r"^net\.json: NaN is no number of a network$"),
    (lambda: parse_config('{"schema_version": 1}', "net.json"), r"^net\.json is an output of vggcalc, which --against"),
    (lambda: parse_config("{", "net.json"), r"^net\.json: malformed JSON: .*\(at line 1, column 2\)$"),
    (lambda: parse_config('{"a":' * 100_000, "net.json"), r"^net\.json: malformed JSON: "),
    (lambda: parse_config("a = ", "net.toml"), r"^net\.toml: malformed TOML: "),
    (lambda: network(7), r"^model 7 is of type int: it takes a name, tokens or a path as text"),
    (lambda: network(network("vgg11"), size=7), r"^vgg11 is a network already: size cannot change it$"),
    (lambda: network("vgg11", size=0), r"^vgg11: height 0 is out of range"),
    (lambda: network("alexnet", bias=False), r"^alexnet is built in as published: bias cannot change it$"),
    (lambda: network("alexnet", size=0), r"^alexnet: height 0 is out of range"),
    (lambda: Config("net", (64,), dims=4), r"^dims 4 is none of 1, 2, 3$"),
    (
        lambda: Config("net", (64,), input=(3, 8), dims=2),
        r"^input \[3, 8\] is not \(channels, height, width\): dims is 2",
    ),
    (lambda: network("64", size=(8, 8, 8)), r"^64: size 8×8×8 is 3-D, and the network 2-D: see dims$"),
    (lambda: network("64", dims=4), r"^64: dims 4 is none of 1, 2, 3$"),
    (lambda: network("alexnet", dims=3), r"^alexnet is built in as published: in two dimensions$"),
    (lambda: network(Config("a\nb", (64,))), r"characters that cannot be printed: use plain text$"),
    (lambda: network("64,M", classes=10), r"^64,M: there is no classifier, so classes 10 changes nothing$"),
    (lambda: network("64,x"), r"^64,x: token 2, 'x': write FILTERS, FILTERS@KERNEL"),
    (lambda: network("64@3s2s2"), r"token 1, '64@3s2s2': an argument is given twice"),
    (lambda: network("64@4"), r"token 1, '64@4': kernel 4 is even: no padding keeps the size\. Try 3 or 5$"),
    (lambda: network("64@0"), r"kernel 0 is even: no padding keeps the size\. Try 1 or 3$"),
    (lambda: network("M,LRN"), r"features name no convolution: write FILTERS"),
    (
        lambda: from_config(Config("net", (64,), classifier=(0,)), IMAGE),
        r"^classifier 1, 0: out_features 0 is out of range",
    ),
    (lambda: from_config(Config("net", (64,), input=(0, 8, 8)), IMAGE), r"^input channels 0 is out of range"),
]


def refusal(act: Callable[[], object]) -> Exception:
    with pytest.raises((InputError, TypeError)) as caught:
        act()
    return caught.value


@pytest.mark.parametrize(("act", "message"), REFUSED, ids=[message[:40] for _, message in REFUSED])
def test_what_is_refused_and_in_which_words(act: Callable[[], object], message: str) -> None:
    error = refusal(act)
    assert str(error).isprintable()  # one line, whatever was given
    assert re.search(message, str(error))


def reached(error: BaseException | None) -> set[tuple[str, int]]:
    """The modules of nets/ and their lines through which an error and those before it went."""
    lines = set()
    while error is not None:
        step = error.__traceback__
        while step is not None:
            lines.add((Path(step.tb_frame.f_code.co_filename).name, step.tb_lineno))
            step = step.tb_next
        error = error.__context__
    return lines


def test_every_raise_of_nets_is_reached() -> None:
    lines: set[tuple[str, int]] = set()
    for act, _ in REFUSED:
        lines |= reached(refusal(act))
    assert nets.__file__ is not None
    missing = []
    for path in sorted(Path(nets.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise) and node.exc is not None:
                span = range(node.lineno, (node.end_lineno or node.lineno) + 1)
                if not any((path.name, line) in lines for line in span):
                    missing.append(f"{path.name}:{node.lineno}")
    assert missing == []


# Both sides of a boundary


def test_what_is_just_within_is_taken() -> None:
    check_number("n", 1)
    check_number("n", 0, 0)
    check_number("n", LARGEST_DIMENSION)
    check_kernel(2)
    check_kernel(LARGEST_KERNEL)
    assert len(factorized(Conv2d(1, 1, (LARGEST_KERNEL,) * 2), Factorization())[0]) == 499
    assert spatial([5, 6]) == (5, 6)
    assert MaxPool2d((4, 4), padding=2).padding == (2, 2)
    assert Replacing(min_kernel=2).min_kernel == 2
    assert input_shape(f"1x{LARGEST_DIMENSION}") == (1, LARGEST_DIMENSION)
    assert input_shape("1×3x224×224") == (1, 3, 224, 224)


def test_the_largest_file_is_read_and_not_one_byte_more(tmp_path: Path) -> None:
    path = tmp_path / "net.toml"
    text = b'features = ["64", "M"]\n#'
    path.write_bytes(text.ljust(LARGEST_FILE, b"x"))
    assert load(str(path)).features == ("64", "M")
    path.write_bytes(text.ljust(LARGEST_FILE + 1, b"x"))
    with pytest.raises(InputError, match="larger than 1,000,000 bytes"):
        load(str(path))


def test_the_smallest_input_that_is_named_is_the_smallest() -> None:
    pools = [("a", MaxPool2d()) for _ in range(5)]
    for size in (1, 31):
        with pytest.raises(FeatureMapTooSmall, match=r"the input must be at least 32×32$"):
            shapes(chain("net", (1, 3, size, size), pools))
    assert shapes(chain("net", (1, 3, 32, 32), pools))["a.pool5"] == (1, 3, 1, 1)


# Choices among many


@pytest.mark.parametrize("kernel", range(3, 64))
def test_large_kernel_attention_has_the_fewest_weights_that_cover_the_kernel(kernel: int) -> None:
    """Guo et al. 2022, section 3.1, by brute force: (2d − 1)² + ⌈k/d⌉² for every dilation d of 2 or more."""
    least = None
    for d in range(2, 200):
        near, far = 2 * d - 1, (kernel + d - 1) // d
        window = near + d * (far - 1)
        if window >= kernel and (window - kernel) % 2 == 0:
            least = min(least or near**2 + far**2, near**2 + far**2)
    ((one, two, pointwise),) = factorized(square(kernel), Factorization("large-kernel-attention"))
    assert one.kernel_size[0] ** 2 + two.kernel_size[0] ** 2 == least
    assert one.kernel_size[0] == 2 * two.dilation[0] - 1
    assert two.kernel_size[0] == -(-kernel // two.dilation[0])
    assert (one.groups, two.groups, pointwise.kernel_size) == (8, 8, (1, 1))


@pytest.mark.parametrize("kernel", range(3, 64))
def test_stripes_are_as_wide_as_they_may_be(kernel: int) -> None:
    widest = max(m for m in range(1, 6) if m < kernel and m % 2 == kernel % 2)
    ((one,), (two,)) = factorized(square(kernel), Factorization("stripes"))
    assert (one.kernel_size, two.kernel_size) == ((kernel, widest), (widest, kernel))


@pytest.mark.parametrize("kernel", range(3, 64, 2))
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_the_stack_has_as_few_layers_as_cover_the_kernel(kernel: int, stride: int) -> None:
    """With the stride first each later layer covers 2·stride more; the number found by trying."""
    fewest = next(n for n in range(1, kernel) if 3 + 2 * stride * (n - 1) >= kernel)
    conv = Conv2d(8, 8, (kernel, kernel), (stride, stride), padding=kernel // 2)
    assert len(factorized(conv, Factorization(stride_at="first"))[0]) == fewest
    assert len(factorized(conv, Factorization(stride_at="last"))[0]) == (kernel - 1) // 2


@pytest.mark.parametrize("kernel", range(3, 64, 2))
def test_the_dilated_stack_has_no_holes_and_ends_at_the_kernel(kernel: int) -> None:
    (layers,) = factorized(square(kernel), Factorization("dilated-stack"))
    offsets = {0}
    for layer in layers:
        offsets = {at + tap * layer.dilation[0] for at in offsets for tap in (-1, 0, 1)}
    assert offsets == set(range(-(kernel // 2), kernel // 2 + 1))
    assert [layer.dilation[0] for layer in layers[:-1]] == [2**i for i in range(len(layers) - 1)]


@pytest.mark.parametrize(("out", "groups", "reduced"), [(64, 1, 16), (65, 1, 17), (2, 1, 1), (64, 16, 16), (40, 4, 12)])
def test_a_bottleneck_has_a_quarter_of_the_channels_rounded_up_to_groups(out: int, groups: int, reduced: int) -> None:
    conv = Conv2d(groups * 4, out, (7, 7), padding=3, groups=groups)
    (layers,) = factorized(conv, Factorization("bottleneck"))
    assert [layer.out_channels for layer in layers] == [reduced, reduced, out]


def test_what_is_skipped_says_why() -> None:
    layers = [("a", Conv2d(3, 4, 5, padding=2)), ("a", Conv2d(4, 4, 6, padding=3)), ("a", Conv2d(4, 4, 3, padding=1))]
    made = replace(chain("net", IMAGE, layers), Replacing())
    assert [name for name, _ in made.skipped] == ["a.conv2"]
    assert made.skipped[0][1].startswith("kernel 6 is even")
    assert [before for before, _ in made.pairs] == [("a.conv1",)]


@pytest.mark.parametrize("kernel", range(3, 64, 2))
def test_the_dilated_3x3_reaches_both_ends_of_the_kernel(kernel: int) -> None:
    ((layer,),) = factorized(square(kernel), Factorization("dilated"))
    assert (layer.kernel_size, layer.dilation) == ((3, 3), (kernel // 2, kernel // 2))
    assert layer.padding == (kernel // 2, kernel // 2)


def test_defaults_are_those_that_are_documented() -> None:
    conv = Kernel(7).convolution()
    assert conv == Conv2d(64, 64, (7, 7), (1, 1), (3, 3), (1, 1), 1, True)
    assert Kernel(7).input_shape == (1, 64, 56, 56)
    assert [node.name for node in Kernel(7).network(((conv,),)).nodes] == ["block1.conv1", "block1.relu1"]
    norm = LocalResponseNorm()
    assert (norm.size, norm.alpha, norm.beta, norm.k) == (5, 1e-4, 0.75, 2.0)
    assert network("64").input_shape == (1, 3, 224, 224)
    assert network("alexnet").input_shape == network("googlenet").input_shape == (1, 3, 224, 224)


def test_standard_input_is_read_for_a_dash_alone() -> None:
    def never(size: int) -> bytes:
        raise AssertionError(f"{size} bytes were read")

    assert load("vgg16", never) == load("vgg16")
    assert load("-", BytesIO(b'features = [64, "M"]').read).features == (64, "M")
    with pytest.raises(InputError, match=r"^unknown model '-': "):
        load("-")


def test_a_bare_list_is_one_unless_the_file_is_toml() -> None:
    for where in ("standard input", "net.txt"):
        assert parse_config("64,M\n128", where).features == ("64", "M", "128")
        assert parse_config(" vgg16\n", where) == load("vgg16")
        assert parse_config("features = [64]", where).features == (64,)
    with pytest.raises(InputError, match=r"^net\.TOML: "):
        parse_config("64,M", "net.TOML")
    with pytest.raises(InputError, match=r"^net\.JSON: "):
        parse_config("64,M", "net.JSON")
