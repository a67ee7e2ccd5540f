"""Devices and what is prepared on them: the logic of accelerators on one that is made up, the CPU for real."""

import gc
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import vggcalc
from vggcalc import results
from vggcalc.measurement.support import tiny_network
from vggcalc.nets.graph import Network, chain
from vggcalc.nets.layers import (
    BatchNorm2d,
    Conv2d,
    Flatten,
    Linear,
    ReLU,
)
from vggcalc.protocol import Subject
from vggcalc.results import Configuration
from vggcalc.runtime.build import build
from vggcalc.runtime.time import arms, devices, roofline
from vggcalc.runtime.time.arms import context, fill, laid_out, prepare
from vggcalc.runtime.time.devices import Accelerator, Cpu, DeviceUnavailable, Program, available, counted, device
from vggcalc.runtime.time.roofline import calibrate, fastest

INFERENCE = Configuration("cpu", "float32")
TRAINING = Configuration("cpu", "float32", mode="training")

TINY = chain(
    "tiny",
    (2, 3, 6, 5),
    [
        ("block1", Conv2d(3, 4, (3, 3), padding=(1, 1))),
        ("block1", BatchNorm2d(4)),
        ("block1", ReLU()),
        ("head", Flatten()),
        ("head", Linear(120, 7)),
    ],
)


class FakeDevice:
    """The CPU under another name's rules: its clock goes on by a second whenever it is read."""

    name = "cpu"

    def __init__(self) -> None:
        self.now = 0.0
        self.recorded: list[Program] = []

    def configure(self, configuration: Configuration) -> None:
        pass

    def clock(self) -> float:
        self.now += 1.0
        return self.now

    def least_timing_s(self) -> float:
        return 1e-3

    def facts(self) -> results.DeviceInfo:
        return results.DeviceInfo(self.name, "made up")

    def free_bytes(self) -> int | None:
        return None

    def flush(self) -> None:
        pass

    def graph(self, call: Program) -> Program:
        self.recorded.append(call)
        return lambda: "replayed"

    def kernels(self, call: Program) -> tuple[str, ...]:
        return ()

    def peak_bytes(self, call: Program) -> int | None:
        return None


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """Every module that is built meanwhile."""
    found: list[nn.Module] = []

    def build(network: Network) -> nn.Module:
        found.append(vggcalc.runtime.build.build(network))
        return found[-1]

    monkeypatch.setattr(arms, "build", build)
    return found


# Accelerators


def accelerator(kind: str) -> Accelerator:
    """One that torch was never asked for."""
    found = Accelerator.__new__(Accelerator)
    found.name, found._kind = kind, kind
    return found


@pytest.mark.parametrize(("synchronize_s", "least_s"), [(2e-3, 0.1), (1e-4, 5e-3), (1e-6, 1e-3)])
def test_a_timing_is_at_least_50_synchronizations(
    monkeypatch: pytest.MonkeyPatch, synchronize_s: float, least_s: float
) -> None:
    """And no shorter than on the CPU; the clock of an accelerator is one synchronization."""
    now = [0.0]

    def timer() -> float:
        now[0] += synchronize_s
        return now[0]

    monkeypatch.setattr(devices, "perf_counter", timer)
    monkeypatch.setattr(devices.torch.accelerator, "synchronize", lambda: None)
    assert least_s <= accelerator("cuda").least_timing_s() <= 1.2 * least_s


def test_an_accelerator_without_graphs_and_counters_says_so() -> None:
    here = accelerator("mps")
    with pytest.raises(DeviceUnavailable, match=r"^torch replays graphs on cuda, not on mps$"):
        here.graph(lambda: None)
    assert here.free_bytes() is None
    assert here.peak_bytes(lambda: pytest.fail("nothing to count by, so nothing is run")) is None
    assert here.facts().details["clock"] == "wall time after torch.accelerator.synchronize"


def pretend(monkeypatch: pytest.MonkeyPatch, kind: str | None, number: int = 1) -> None:
    """That torch finds as many accelerators of that kind."""
    accelerators = torch.accelerator
    monkeypatch.setattr(accelerators, "is_available", lambda: kind is not None)
    monkeypatch.setattr(accelerators, "current_accelerator", lambda: kind and torch.device(kind))
    monkeypatch.setattr(accelerators, "device_count", lambda: number if kind else 0)
    monkeypatch.setattr(accelerators, "set_device_index", lambda index: None)


@pytest.mark.parametrize(("kind", "expected"), [(None, ("cpu",)), ("cuda", ("cpu", "cuda")), ("mps", ("cpu", "mps"))])
def test_what_is_available(monkeypatch: pytest.MonkeyPatch, kind: str | None, expected: tuple[str, ...]) -> None:
    pretend(monkeypatch, kind)
    assert available() == expected


@pytest.mark.parametrize(
    ("asked", "here", "why"),
    [
        ("cuda", None, r"^device 'cuda' is not here: torch \S+ finds only cpu$"),
        ("cuda:1", None, r"^device 'cuda:1' is not here: torch \S+ finds only cpu$"),
        ("meta", None, r"^device 'meta' is not here: torch \S+ finds only cpu$"),
        ("cuda", "mps", r"^device 'cuda' is not here: torch finds cpu and mps$"),
        ("cuda:2", "cuda", r"^device 'cuda:2' is not here: there are 2 of cuda$"),
        ("nonsense", None, r"^'nonsense' is no device that torch \S+ knows: try cpu or cuda$"),
        ("nonsense", "cuda", r"^'nonsense' is no device that torch \S+ knows: try cpu or cuda$"),
        ("", None, r"^'' is no device that torch \S+ knows: try cpu or cuda$"),
        ("cuda:x", "cuda", r"^'cuda:x' is no device that torch \S+ knows: try cpu or cuda$"),
    ],
)
def test_a_device_that_is_not_here(monkeypatch: pytest.MonkeyPatch, asked: str, here: str | None, why: str) -> None:
    pretend(monkeypatch, here, 2)
    with pytest.raises(DeviceUnavailable, match=why):
        device(asked)


def test_a_device_that_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(device("cpu"), Cpu)
    pretend(monkeypatch, "cuda", 2)
    for name in ("cuda", "cuda:0", "cuda:1"):
        found = device(name)
        assert isinstance(found, Accelerator)
        assert found.name == name


# Modules ready to be timed


def test_in_inference_a_call_is_one_forward_pass(built: list[nn.Module]) -> None:
    where = FakeDevice()
    with context(INFERENCE):
        ready = prepare(Subject("tiny", TINY), INFERENCE, where, 3)
        output = ready.call()
    (module,) = built
    assert isinstance(output, torch.Tensor)
    assert ready.output_shape == tuple(output.shape) == (2, 7)
    assert not output.requires_grad
    assert not module.training
    assert all(parameter.grad is None for parameter in module.parameters())
    assert ready.compile_s is None
    assert where.now >= 1, "the first call is waited for"


def test_in_training_a_call_leaves_gradients_and_nothing_grows(built: list[nn.Module]) -> None:
    with context(TRAINING):
        ready = prepare(Subject("tiny", TINY), TRAINING, FakeDevice(), 3)
        weights = [parameter.clone() for parameter in built[0].parameters()]
        gradients = [parameter.grad.clone() for parameter in built[0].parameters() if parameter.grad is not None]
        tensors = []
        for _ in range(3):
            ready.call()
            gc.collect()
            tensors.append(sum(type(one) in (torch.Tensor, nn.Parameter) for one in gc.get_objects()))
    assert built[0].training
    assert len(gradients) == len(weights) == 6
    for parameter, weight, gradient in zip(built[0].parameters(), weights, gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)  # and not three times as much
        assert torch.equal(parameter, weight), "there is no optimizer"
    assert tensors[0] == tensors[1] == tensors[2]


@pytest.mark.parametrize("mode", ["inference", "training"])
def test_the_same_seed_makes_the_same_module_and_image(mode: str) -> None:
    """As the control must be: a copy of the baseline."""
    configuration = Configuration("cpu", "float32", mode=mode)
    with context(configuration):
        one, copy, other = (
            prepare(Subject("tiny", TINY), configuration, FakeDevice(), seed).call() for seed in (3, 3, 4)
        )
    assert isinstance(one, torch.Tensor)
    assert isinstance(copy, torch.Tensor)
    assert isinstance(other, torch.Tensor)
    assert torch.equal(one, copy)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize(
    ("memory_format", "expected"),
    [("contiguous", torch.contiguous_format), ("channels_last", torch.channels_last)],
)
def test_weights_and_image_are_as_the_configuration_says(
    built: list[nn.Module], dtype: str, memory_format: str, expected: torch.memory_format
) -> None:
    configuration = Configuration("cpu", dtype, memory_format=memory_format)
    seen: list[torch.Tensor] = []
    with context(configuration):
        ready = prepare(Subject("tiny", TINY), configuration, FakeDevice(), 0)
        built[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        ready.call()
    for tensor in (seen[0], built[0].get_submodule("block1.conv1").weight):
        assert isinstance(tensor, torch.Tensor)
        assert tensor.dtype == getattr(torch, dtype)
        assert tensor.is_contiguous(memory_format=expected)


def test_channels_are_last_in_two_and_three_dimensions() -> None:
    """torch has a format for each; a sound has none, and stays."""
    plane, volume, sound = (laid_out(torch.zeros(2, 3, *(4,) * n), torch.channels_last) for n in (2, 3, 1))
    assert plane.is_contiguous(memory_format=torch.channels_last)
    assert volume.is_contiguous(memory_format=torch.channels_last_3d)
    assert sound.is_contiguous()


def test_a_graph_is_recorded_by_the_device() -> None:
    configuration = Configuration("cpu", "float32", execution="graph")
    where = FakeDevice()
    with context(configuration):
        ready = prepare(Subject("tiny", TINY), configuration, where, 0)
    assert len(where.recorded) == 1
    assert ready.call() == "replayed"
    with pytest.raises(DeviceUnavailable, match="the CPU has no graphs"):
        prepare(Subject("tiny", TINY), configuration, Cpu(), 0)


def test_an_output_that_is_not_finite_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image / 0

    monkeypatch.setattr(arms, "build", lambda network: Broken())
    with context(INFERENCE), pytest.raises(ValueError, match=r"the output of tiny is not finite in float32"):
        prepare(Subject("tiny", TINY), INFERENCE, FakeDevice(), 0)


def test_compiling_without_a_compiler_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    configuration = Configuration("cpu", "float32", execution="compiled")
    with pytest.raises(DeviceUnavailable, match=r"torch.compile needs a C\+\+ compiler"):
        prepare(Subject("tiny", TINY), configuration, FakeDevice(), 0)


@pytest.mark.parametrize("pieces", [7, 2**12])
def test_fill_gives_bounded_weights_and_a_norm_that_is_as_new(pieces: int) -> None:
    """Also where there is less noise than there are weights, and whatever stood there before."""
    with torch.device("meta"):
        module = vggcalc.runtime.build.build(TINY)
    module = module.to_empty(device="cpu")
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            tensor.fill_(torch.nan if tensor.is_floating_point() else 99)
    fill(module, torch.rand(pieces) * 2 - 1)
    for name, fan_in in (("block1.conv1", 27), ("head.linear1", 120)):
        for parameter in module.get_submodule(name).parameters():
            assert torch.isfinite(parameter).all()
            assert 0 < parameter.abs().max() <= fan_in**-0.5
            assert len(parameter.unique()) > 1
    norm = module.get_submodule("block1.bn1")
    assert isinstance(norm, nn.BatchNorm2d)
    new = nn.BatchNorm2d(4)
    for one, other in zip((*norm.parameters(), *norm.buffers()), (*new.parameters(), *new.buffers()), strict=True):
        assert torch.equal(one, other)


# The CPU


def convolution() -> tuple[Callable[[], torch.Tensor], int]:
    """One that oneDNN takes, and the bytes of its output."""
    conv = nn.Conv2d(8, 16, 7, padding=3)
    image = torch.rand(1, 8, 20, 20)

    def call() -> torch.Tensor:
        with torch.inference_mode():
            return conv(image)  # type: ignore[no-any-return]

    return call, 16 * 20 * 20 * 4


def test_the_peak_of_memory_is_at_least_the_output() -> None:
    call, size = convolution()
    peak = Cpu().peak_bytes(call)
    assert peak is not None
    assert size <= peak < 100 * size


def test_the_peak_of_memory_counts_what_is_alive_at_once() -> None:
    """Two of three tensors of a megabyte, the second of which takes the first one's place."""

    def call() -> torch.Tensor:
        first = torch.ones(2**18)
        second = first + 1
        del first
        return second + 1

    assert Cpu().peak_bytes(call) == pytest.approx(2 * 2**20, rel=0.01)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="needs oneDNN")
def test_the_kernels_are_oneDNNs_and_are_not_printed(capfd: pytest.CaptureFixture[str]) -> None:
    call, _ = convolution()
    call()
    kernels = Cpu().kernels(call)
    assert any(kernel.startswith("convolution ") for kernel in kernels)
    print("still there", flush=True)
    assert capfd.readouterr().out == "still there\n"


def test_kernels_of_what_oneDNN_does_not_do() -> None:
    assert Cpu().kernels(lambda: torch.ones(3) + 1) == ()


def test_names_are_counted_in_the_order_first_met() -> None:
    assert counted(["b", "a", "b", "c", "b", "c"]) == ("b ×3", "a", "c ×2")
    assert counted([]) == ()


def test_the_cpu_is_flushed_with_more_than_its_cache() -> None:
    cpu = Cpu()
    cpu.flush()
    facts = cpu.facts()
    assert facts.name == "cpu"
    assert facts.model
    assert int(facts.details["flushed_bytes"]) >= 2**20
    assert cpu.least_timing_s() == 1e-3


def test_threads_are_those_of_the_configuration() -> None:
    before = torch.get_num_threads()
    try:
        Cpu().configure(Configuration("cpu", "float32", 3))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_the_environment_names_what_figures_hold_for() -> None:
    here = devices.environment(Cpu().facts())
    assert here.torch == torch.__version__
    assert here.cpu
    assert here.instruction_set
    assert [one.name for one in here.devices] == ["cpu"]


# The roof


def test_fastest_calls_until_its_time_is_up() -> None:
    where = FakeDevice()
    calls: list[float] = []

    def call() -> None:
        calls.append(where.now)
        where.now += 3.0 if len(calls) == 3 else 5.0

    assert fastest(call, where, 60.0) == 4.0, "the third call and a reading of the clock"
    assert 8 <= len(calls) <= 10


def test_a_call_longer_than_its_time_is_made_once() -> None:
    where = FakeDevice()
    calls: list[float] = []

    def call() -> None:
        calls.append(where.now)
        where.now += 100.0

    assert fastest(call, where, 60.0) == 101.0
    assert len(calls) == 1


def test_the_peak_is_the_best_of_the_set_and_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call takes a second, so that the best is the largest."""
    monkeypatch.setattr(roofline, "CALIBRATION_PRODUCTS", (4, 8))
    monkeypatch.setattr(roofline, "CALIBRATION_CONVOLUTIONS", ((1, 4, 8), (3, 4, 8)))
    ones: Callable[..., torch.Tensor] = torch.ones
    monkeypatch.setattr(torch, "ones", lambda n, **how: ones(min(n, 2**10), **how))
    found: Any = calibrate(Configuration("cpu", "bfloat16", memory_format="channels_last"), FakeDevice())
    assert found.flops_per_s == 2 * 4**2 * 3**2 * 8**2
    assert found.peak_by == "3×3 convolution, 4 channels"
    assert found.bytes_per_s == 2 * 2**10 * 4, "read and written"


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_what_a_configuration_is_tried_with_has_every_kind_of_layer_and_runs(dims: int) -> None:
    def made(kind: str, *arguments: int, **options: int) -> nn.Module:
        module: nn.Module = getattr(nn, f"{kind}{dims}d")(*arguments, **options)
        return module

    model = nn.Sequential(
        *(made("Conv", 3, 6, 3, padding=1), made("BatchNorm", 6), nn.ReLU(), made("MaxPool", 2), nn.GELU(), nn.SiLU()),
        *(made("AdaptiveAvgPool", 2), nn.Flatten(), nn.Dropout(), nn.Linear(6 * 2**dims, 5)),
    )
    asked = vggcalc.summary(model, (1, 3, *(8,) * dims))
    small = tiny_network([asked])
    wanted = {layer.type for layer in asked.variants[0].layers} - {"Operation", "Window"}  # pooling in one and three
    tried = {type(node.layer).__name__ for node in small.nodes}
    assert tried == wanted - ({"Linear"} if dims != 2 else set())  # which takes a map of a known size
    assert build(small)(torch.zeros(small.input_shape)).shape[0] == small.input_shape[0]
