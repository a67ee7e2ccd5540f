"""Hypothesis' profile, and the random networks that several test modules draw."""

import gc
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st

from vggcalc.measurement import worker
from vggcalc.nets.graph import INPUT, Network, Node
from vggcalc.nets.layers import (
    GELU,
    AdaptiveAvgPool2d,
    Add,
    BatchNorm2d,
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
    SiLU,
)
from vggcalc.nets.shapes import output_shape

torch.set_num_threads(1)

settings.register_profile("vggcalc", deadline=None, derandomize=True, max_examples=40, print_blob=False)
settings.load_profile("vggcalc")

#: Layers of which the next one of a network is drawn; a convolution is the commonest.
ANY = (*["conv"] * 4, "bn", "lrn", "relu", "relu", "act", "max", "avg", "flatten", "linear", "dropout")
SPATIAL = (*["conv"] * 4, "bn", "relu", "max", "dropout")
ON_VECTORS = ("relu", "act", "flatten", "linear", "dropout")


def pairs(least: int, most: int) -> st.SearchStrategy[tuple[int, int]]:
    """(height, width), each drawn by itself."""
    return st.tuples(st.integers(least, most), st.integers(least, most))


@st.composite
def _convolution(draw: st.DrawFn, shape: Shape, kernels: Sequence[int]) -> Conv2d:
    """One whose window fits the map, half of them keeping it."""
    channels = shape[1]
    groups = draw(st.sampled_from([g for g in range(1, channels + 1) if channels % g == 0]))
    kernel = draw(st.tuples(st.sampled_from(kernels), st.sampled_from(kernels)))
    stride, dilation, padding = (1, 1), (1, 1), tuple(k // 2 for k in kernel)
    if draw(st.booleans()):
        stride, dilation, padding = draw(pairs(1, 2)), draw(pairs(1, 2)), draw(pairs(0, 3))
    lacking = [d * (k - 1) + 1 - n for k, d, n in zip(kernel, dilation, shape[2:], strict=True)]
    padding = tuple(max(p, (lack + 1) // 2) for p, lack in zip(padding, lacking, strict=True))
    out = groups * draw(st.integers(1, 3))
    return Conv2d(channels, out, kernel, stride, padding, dilation, groups, draw(st.booleans()))


@st.composite
def _pool(draw: st.DrawFn, shape: Shape) -> MaxPool2d:
    kernel = tuple(min(k, n) for k, n in zip(draw(pairs(1, 3)), shape[2:], strict=True))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    return MaxPool2d(kernel, draw(pairs(1, 2)), padding)


def _layer(draw: st.DrawFn, shape: Shape, kinds: Sequence[str], kernels: Sequence[int]) -> Layer:
    match draw(st.sampled_from([k for k in kinds if (k in ON_VECTORS if len(shape) == 2 else k != "linear")])):
        case "conv":
            return draw(_convolution(shape, kernels))
        case "bn":
            return BatchNorm2d(shape[1])
        case "lrn":
            return LocalResponseNorm(draw(st.integers(1, 5)))
        case "relu":
            return ReLU(draw(st.booleans()))
        case "act":
            return draw(st.sampled_from([GELU(), SiLU(), SiLU(inplace=False)]))
        case "max":
            return draw(_pool(shape))
        case "avg":
            return AdaptiveAvgPool2d(draw(pairs(1, 3) | st.just(shape[2:])))
        case "flatten":
            return Flatten()
        case "linear":
            return Linear(shape[1], draw(st.integers(1, 5)), draw(st.booleans()))
        case _:
            return Dropout()


@st.composite
def networks(
    draw: st.DrawFn,
    branches: bool = True,
    kinds: Sequence[str] = ANY,
    kernels: Sequence[int] = (1, 2, 3),
    size: tuple[int, int] = (5, 12),
    layers: tuple[int, int] = (5, 10),
) -> Network:
    """A chain, or layers, sums and concatenations of anything before them; no node is for nothing."""
    image = (draw(st.integers(1, 2)), draw(st.integers(1, 4)), *draw(pairs(*size)))
    shapes: dict[str, Shape] = {INPUT: image}
    nodes: list[Node] = []
    for i in range(draw(st.integers(*layers))):
        inputs = (draw(st.sampled_from(list(shapes)[-3:])) if branches else list(shapes)[-1],)
        shape = shapes[inputs[0]]
        partners = {
            Add: [n for n, s in shapes.items() if s == shape],
            Concat: [n for n, s in shapes.items() if (s[0], *s[2:]) == (shape[0], *shape[2:])],
        }
        join = draw(st.sampled_from([None, None, None, Add, Concat])) if branches else None
        if join and len(partners[join]) > 1:
            layer: Layer = join()
            inputs += tuple(draw(st.lists(st.sampled_from(partners[join]), min_size=1, max_size=2)))
        else:
            layer = _layer(draw, shape, kinds, kernels)
        node = Node(f"{draw(st.sampled_from('ab'))}.{type(layer).__name__.lower()}{i}", layer, inputs)
        nodes.append(node)
        shapes[node.name] = output_shape(layer, [shapes[name] for name in inputs])
    needed, kept = {nodes[-1].name}, []
    for node in reversed(nodes):
        if node.name in needed:
            needed.update(node.inputs)
            kept.append(node)
    return Network("drawn", image, tuple(reversed(kept)))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--accept", action="store_true", help="rewrite the tables under tests/golden")


def pytest_collection_finish() -> None:
    """What torch imported stays: no collection of garbage looks at it again, which takes long."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def accept(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--accept"))


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Traces are kept apart from those of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VGGCALC_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def warm_command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, ...]]:
    """What starts a worker that need not import torch, see `warm.py`; where that cannot be, what starts any."""
    if sys.platform != "linux":
        yield worker.COMMAND
        return
    script, path = Path(__file__).with_name("warm.py"), tmp_path_factory.mktemp("warm") / "socket"
    command = (sys.executable, "-P", str(script), "serve", str(path))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"listening\n"
        yield (sys.executable, "-I", "-S", str(script), str(path))
        server.communicate()


@pytest.fixture(scope="module")
def warm_workers(warm_command: tuple[str, ...]) -> Iterator[None]:
    """Workers that are started from this process begin at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "COMMAND", warm_command)
        yield
