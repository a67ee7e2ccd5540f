"""Networks with larger kernels than VGG's, as published: AlexNet, twice, and GoogLeNet.

Each is a function of the input shape and the number of classes; none has its auxiliary classifiers
or its softmax. Before a classifier an adaptive average pooling brings other image sizes to the feature
map size that 224×224 gives, and at 224×224 is the paper's own pooling or changes nothing.
"""

from collections.abc import Callable

from vggcalc.nets.graph import (
    INPUT,
    Network,
    Node,
    chain,
)
from vggcalc.nets.layers import (
    AdaptiveAvgPool2d,
    Concat,
    Conv2d,
    Dropout,
    Flatten,
    Layer,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
    Shape,
)

#: Filters, kernel, stride and groups of each convolution, by block; a max-pool ends every block.
_Towers = tuple[tuple[tuple[int, int, int, int], ...], ...]
ONE_TOWER: _Towers = (
    ((64, 11, 4, 1),),
    ((192, 5, 1, 1),),
    ((384, 3, 1, 1), (256, 3, 1, 1), (256, 3, 1, 1)),
)
TWO_TOWERS: _Towers = (
    ((96, 11, 4, 1),),
    ((256, 5, 1, 2),),
    ((384, 3, 1, 1), (384, 3, 1, 2), (256, 3, 1, 2)),
)


def alexnet(input_shape: Shape, classes: int) -> Network:
    """Krizhevsky 2014 (arXiv 1404.5997), one tower, as in torchvision."""
    wide = 4096
    head: list[Layer] = [Dropout(), Linear(256 * 6 * 6, wide), ReLU(), Dropout(), Linear(wide, wide), ReLU()]
    layers = [*_alexnet(input_shape[1], ONE_TOWER, normalized=0), *head, Linear(wide, classes)]
    return _chained("alexnet", input_shape, layers, "torchvision")


def alexnet2012(input_shape: Shape, classes: int) -> Network:
    """Krizhevsky, Sutskever, Hinton 2012, figure 2: two towers, one for each GPU, as groups."""
    wide = 4096
    head: list[Layer] = [Linear(256 * 6 * 6, wide), ReLU(), Dropout(), Linear(wide, wide), ReLU(), Dropout()]
    layers = [*_alexnet(input_shape[1], TWO_TOWERS, normalized=2), *head, Linear(wide, classes)]
    return _chained("alexnet2012", input_shape, layers)


def _alexnet(channels: int, towers: _Towers, normalized: int) -> list[Layer]:
    """The convolutions, with a response norm behind the first `normalized` of them (section 3.3)."""
    layers: list[Layer] = []
    for number, block in enumerate(towers, 1):
        for filters, kernel, stride, groups in block:
            padding = min(kernel // 2, 2)
            conv = Conv2d(channels, filters, _both(kernel), _both(stride), _both(padding), groups=groups)
            layers += [conv, ReLU()]
            channels = filters
        if number <= normalized:
            layers.append(LocalResponseNorm())
        layers.append(MaxPool2d((3, 3), (2, 2)))
    return [*layers, AdaptiveAvgPool2d((6, 6)), Flatten()]


def _chained(name: str, input_shape: Shape, layers: list[Layer], layout: str = "nodes") -> Network:
    """A chain of layers, a block up to each max-pooling, and a classifier."""
    blocks, named = 1, []
    classifier = next(i for i, layer in enumerate(layers) if isinstance(layer, AdaptiveAvgPool2d))
    for i, layer in enumerate(layers):
        named.append((f"block{blocks}" if i < classifier else "classifier", layer))
        blocks += isinstance(layer, MaxPool2d)
    return chain(name, input_shape, named, layout)


def _both(number: int) -> tuple[int, int]:
    return number, number


#: Table 1, from 28×28 on: filters of the 1×1, 3×3 reduce, 3×3, 5×5 reduce, 5×5 and the projection
#: of the pool; no filters for a max-pool.
INCEPTIONS: dict[str, tuple[int, ...]] = {
    "inception3a": (64, 96, 128, 16, 32, 32),
    "inception3b": (128, 128, 192, 32, 96, 64),
    "maxpool3": (),
    "inception4a": (192, 96, 208, 16, 48, 64),
    "inception4b": (160, 112, 224, 24, 64, 64),
    "inception4c": (128, 128, 256, 24, 64, 64),
    "inception4d": (112, 144, 288, 32, 64, 64),
    "inception4e": (256, 160, 320, 32, 128, 128),
    "maxpool4": (),
    "inception5a": (256, 160, 320, 32, 128, 128),
    "inception5b": (384, 192, 384, 48, 128, 128),
}


def googlenet(input_shape: Shape, classes: int) -> Network:
    """Szegedy et al. 2014 (arXiv 1409.4842), table 1, with the 5×5s that torchvision's lacks.

    A block is a row of the table. What it leaves open is as in Caffe's bvlc_googlenet: max-pools
    that round up, biases, the numbers of the response norms and where they stand (figure 3).
    """
    nodes: list[Node] = []

    def add(name: str, layer: Layer, *inputs: str) -> str:
        nodes.append(Node(name, layer, inputs or ((nodes[-1].name if nodes else INPUT),)))
        return name

    def convolve(block: str, what: str, channels: tuple[int, int], kernel: int, *inputs: str) -> str:
        """A convolution of stride 1, in the stem 2 for the 7×7, with its ReLU; the padding is "same"."""
        stride = 2 if kernel == 7 else 1
        conv = Conv2d(*channels, _both(kernel), _both(stride), _both(kernel // 2))
        add(f"{block}.conv{what}", conv, *inputs)
        return add(f"{block}.relu{what}", ReLU())

    halve, norm = MaxPool2d((3, 3), (2, 2), ceil_mode=True), LocalResponseNorm(k=1.0)
    convolve("conv1", "7x7", (input_shape[1], 64), 7)
    add("maxpool1.pool", halve)
    add("maxpool1.lrn", norm)
    convolve("conv2", "3x3_reduce", (64, 64), 1)
    convolve("conv2", "3x3", (64, 192), 3)
    add("conv2.lrn", norm)
    source, channels = add("maxpool2.pool", halve), 192
    for block, filters in INCEPTIONS.items():
        if not filters:
            source = add(f"{block}.pool", halve)
            continue
        one, reduce3, three, reduce5, five, project = filters
        branches = [convolve(block, "1x1", (channels, one), 1, source)]
        convolve(block, "3x3_reduce", (channels, reduce3), 1, source)
        branches.append(convolve(block, "3x3", (reduce3, three), 3))
        convolve(block, "5x5_reduce", (channels, reduce5), 1, source)
        branches.append(convolve(block, "5x5", (reduce5, five), 5))
        add(f"{block}.pool", MaxPool2d((3, 3), (1, 1), (1, 1)), source)
        branches.append(convolve(block, "_proj", (channels, project), 1))
        source, channels = add(f"{block}.concat", Concat(), *branches), one + three + five + project
    add("classifier.avgpool", AdaptiveAvgPool2d((1, 1)))
    add("classifier.flatten", Flatten())
    add("classifier.dropout", Dropout(0.4))
    add("classifier.linear", Linear(channels, classes))
    return Network("googlenet", input_shape, tuple(nodes))


#: By name, which any case may stand for: a function of (batch, channels, height, width) and classes.
CLASSICS: dict[str, Callable[[Shape, int], Network]] = {
    "alexnet": alexnet,
    "alexnet2012": alexnet2012,
    "googlenet": googlenet,
}
