"""torchvision's and timm's models: against torch's own counter, a gradient, autograd, and rewritten."""

from functools import cache
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import vggcalc
from vggcalc.analysis.comparison import analyze
from vggcalc.analysis.receptive_field import unit_span
from vggcalc.nets.replacing import Factorization, Replacing
from vggcalc.results import Variant
from vggcalc.runtime.check.counts import saved_by_autograd
from vggcalc.runtime.load.factories import tolerant_of_operators
from vggcalc.runtime.rewrite import rewrite
from vggcalc.runtime.trace.tracer import trace

pytestmark = [
    pytest.mark.skipif(
        find_spec("torchvision") is None or find_spec("timm") is None,
        reason="torchvision or timm not installed",
    ),
    pytest.mark.filterwarnings("ignore"),  # theirs
]

TORCHVISION = (
    "alexnet convnext_tiny densenet121 efficientnet_b0 googlenet inception_v3 mnasnet0_5 mobilenet_v2 "
    "mobilenet_v3_small regnet_y_400mf resnet18 resnext50_32x4d shufflenet_v2_x0_5 squeezenet1_0 vgg11_bn"
)
TIMM = (
    "convmixer_768_32 convnext_atto cspresnet50 dla34 dpn48b ghostnet_100 hardcorenas_a hrnet_w18_small "
    "inception_next_atto mixnet_s nf_regnet_b0 repvgg_a0 res2net50_14w_8s resnetv2_50 rexnet_100 "
    "selecsls42 starnet_s1 tf_efficientnet_b0 vovnet39a xception41"
)
MODELS = [f"torchvision:{name}" for name in TORCHVISION.split()] + [f"timm:{name}" for name in TIMM.split()]


@cache
def create() -> dict[str, Any]:
    with tolerant_of_operators():
        import timm
        import torchvision
    return {"timm": timm.create_model, "torchvision": torchvision.models.get_model}


def make(model: str, **given: Any) -> nn.Module:
    package, _, name = model.partition(":")
    made: nn.Module = create()[package](name, **given)
    return made


@cache
def bare(model: str) -> nn.Module:
    """On the meta device, without weights."""
    try:
        with torch.device("meta"):
            return make(model)
    except (NotImplementedError, RuntimeError):  # it wants values as it is made
        return make(model).to("meta")


def sizes(model: str) -> tuple[int, int]:
    return (192, 299) if "inception_v3" in model else (96, 224) if "dla" in model or "hrnet" in model else (97, 224)


def counted(module: nn.Module, shape: tuple[int, ...]) -> int:
    needed = {parameter: parameter.requires_grad for parameter in module.parameters()}
    module.eval().requires_grad_(False)  # else torch's module tracker wants gradients
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        module(torch.empty(shape, device="meta"))
    for parameter, wanted in needed.items():
        parameter.requires_grad_(wanted)
    return counter.get_total_flops() // 2


@pytest.mark.parametrize("model", MODELS)
def test_parameters_and_macs_are_torchs(model: str) -> None:
    module = bare(model)
    for size in sizes(model):
        shape = (1, 3, size, size)
        found = analyze(trace(module, shape), model)
        assert found.costs["parameters"] == sum(parameter.numel() for parameter in module.parameters())
        assert found.costs["macs"] == counted(module, shape)
        assert "macs" not in found.partial


@pytest.mark.parametrize("model", ["torchvision:vit_b_16", "torchvision:swin_t", "timm:coatnet_0_224"])
def test_transformers_are_complete_with_the_products_of_activations(model: str) -> None:
    module, shape = bare(model), (1, 3, 224, 224)
    found = analyze(trace(module, shape), model)
    assert "macs" not in found.partial
    assert found.costs["product_macs"]
    assert found.costs["parameters"] == sum(parameter.numel() for parameter in module.parameters())
    assert found.costs["macs"] == counted(module, shape)


def test_deformable_convolutions_do_a_convolutions_macs() -> None:
    DeformConv2d = pytest.importorskip("torchvision.ops").DeformConv2d

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.offsets = nn.Conv2d(3, 18, 3, padding=1)
            self.deformable = DeformConv2d(3, 8, 3, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.deformable(x, self.offsets(x))
            return out

    found = analyze(trace(Net(), (1, 3, 32, 32)), "deformable")
    assert found.costs["macs"] == 32 * 32 * 27 * (18 + 8)
    assert "macs" not in found.partial


# Rewritten

REWRITTEN = [
    "torchvision:alexnet",
    "torchvision:convnext_tiny",
    "torchvision:densenet121",
    "torchvision:efficientnet_b0",
    "torchvision:googlenet",
    "torchvision:mobilenet_v3_small",
    "torchvision:resnet18",
    "torchvision:shufflenet_v2_x0_5",
    "torchvision:squeezenet1_0",
    "timm:convnext_atto",
    "timm:cspresnet50",
    "timm:ghostnet_100",
    "timm:hardcorenas_a",
    "timm:mixnet_s",
    "timm:starnet_s1",
]


def same(one: Variant, two: Variant) -> None:
    for key in (
        "name",
        "layer",
        "inputs",
        "input_shape",
        "output_shape",
        "receptive_field",
        "sees",
    ):
        assert [getattr(layer, key) for layer in one.layers] == [getattr(layer, key) for layer in two.layers], key
    for cost in one.costs:
        assert [layer.costs[cost] for layer in one.layers] == [layer.costs[cost] for layer in two.layers], cost


@pytest.mark.parametrize("replacing", [
    Replacing(), Replacing(Factorization(stride_at="first", widen="last"), min_kernel=7), Replacing(merge=True)
], ids=["split", "first", "merge"])  # fmt: skip
@pytest.mark.parametrize("model", REWRITTEN)
def test_a_rewritten_module_is_what_was_analyzed(model: str, replacing: Replacing) -> None:
    module, shape = bare(model), (1, 3, 96, 96)
    expected = vggcalc.compare(trace(module, shape), replacing=replacing).variants[1]
    new = rewrite(module, replacing, shape)
    same(analyze(trace(new, shape), "rewritten"), expected)
    assert expected.costs["parameters"] == sum(parameter.numel() for parameter in new.parameters())
    assert expected.costs["macs"] == counted(new, shape)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_everything_else_is_kept(dtype: torch.dtype) -> None:
    module = make("torchvision:mobilenet_v3_small").to(dtype).train()
    module.features[4].eval()
    module.classifier[0].weight.requires_grad_(False)
    before = {key: tensor.clone() for key, tensor in module.state_dict().items()}
    new = rewrite(module, Replacing(), (1, 3, 64, 64))
    after = new.state_dict()
    large = {name for name, part in module.named_modules() if isinstance(part, nn.Conv2d) and part.kernel_size[0] > 3}
    assert len(large) == 8
    for key, tensor in before.items():
        if key.rpartition(".")[0] in large:
            assert key not in after
        else:
            assert torch.equal(after[key], tensor)
            assert after[key].data_ptr() != module.state_dict()[key].data_ptr()
        assert torch.equal(module.state_dict()[key], tensor)
    assert {parameter.dtype for parameter in new.parameters()} == {dtype}
    modes = {name: part.training for name, part in module.named_modules()}
    assert all(part.training == modes[name] for name, part in new.named_modules() if name in modes)
    assert not new.features[4].block[1][0].conv1.training
    assert new.features[5].block[1][0].conv1.training
    assert not new.classifier[0].weight.requires_grad
    new(torch.rand(2, 3, 64, 64, dtype=dtype)).sum().backward()
    assert all(p.grad is not None for p in new.parameters() if p.requires_grad)
    assert all(p.grad is None for p in module.parameters())


def test_it_splits_and_merges_back() -> None:
    module, shape = make("torchvision:resnet18"), (1, 3, 64, 64)
    back = rewrite(rewrite(module, Replacing(), shape), Replacing(merge=True, only="^conv1"), shape)
    costs = [analyze(trace(one, shape), "resnet18").costs for one in (module, back)]
    assert costs[0] == costs[1]
    assert back(torch.rand(shape)).shape == (1, 1000)


# What training keeps


@pytest.mark.parametrize("model", [
    "densenet121", "googlenet", "mobilenet_v3_small", "mobilenet_v2", "regnet_y_400mf", "resnet18",
    "shufflenet_v2_x1_0",
])  # fmt: skip
def test_saved_bytes_are_autograds(model: str) -> None:
    given = {"aux_logits": False} if model == "googlenet" else {}
    module = make(f"torchvision:{model}", **given)
    found = analyze(trace(module, (2, 3, 64, 64)), model)
    assert "saved_bytes" not in found.partial
    assert found.costs["saved_bytes"] == saved_by_autograd(module.train(), torch.rand(2, 3, 64, 64))


@pytest.mark.parametrize("model", ["convnext_tiny", "efficientnet_b0"])
def test_saved_bytes_but_for_stochastic_depth(model: str) -> None:
    """Which does nothing in inference: in training it keeps a float of noise for each image."""
    from torchvision.ops import StochasticDepth

    module = make(f"torchvision:{model}")
    found = analyze(trace(module, (2, 3, 64, 64)), model)
    noises: list[int] = []
    for part in module.modules():
        if isinstance(part, StochasticDepth) and part.p > 0:
            part.register_forward_hook(lambda part, inputs, output: noises.append(2 * 4))
    assert "saved_bytes" not in found.partial
    kept = saved_by_autograd(module.train(), torch.rand(2, 3, 64, 64))
    assert int(found.costs["saved_bytes"] or 0) + sum(noises) == kept


# Receptive fields


class Mean(nn.Module):
    """A max pooling that hides no path: the mean of each window."""

    def __init__(self, pool: nn.MaxPool2d) -> None:
        super().__init__()
        self.given = {name: getattr(pool, name) for name in ("kernel_size", "stride", "padding", "ceil_mode")}

    def forward(self, image: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(image, **self.given)


def opened(module: nn.Module) -> nn.Module:
    """In float64, with positive weights, the mean for the maximum, and neither norms nor activations."""
    module = module.double().eval()
    for path, part in list(module.named_modules()):
        name = path.rpartition(".")[2]
        parent = module.get_submodule(path.rpartition(".")[0])
        if isinstance(part, nn.MaxPool2d):
            setattr(parent, name, Mean(part))
        elif isinstance(part, nn.BatchNorm2d | nn.ReLU | nn.ReLU6):
            setattr(parent, name, nn.Identity())
        elif isinstance(part, nn.Conv2d):
            with torch.no_grad():
                part.weight.fill_(1 / part.weight[0].numel())
                if part.bias is not None:
                    part.bias.zero_()
    return module


#: Modules that put out what a node of the same name, or the named one, does.
LAYERS: dict[str, dict[str, str]] = {
    "resnet18": {"conv1": "", "maxpool": "", "layer1.0": "add", "layer2.0": "add", "layer3.1": "add",
                 "layer4.1": "add"},
    "mobilenet_v2": {"features.1.conv.1": "", "features.4.conv.2": "", "features.6": "add",
                     "features.14.conv.2": ""},
    "shufflenet_v2_x0_5": {"stage2.0.branch1.0": "", "stage2.2.branch2.3": "", "stage3.1.branch2.3": ""},
    "googlenet": {"conv3.conv": "", "inception3a.branch3.1.conv": "", "inception3b": "cat",
                  "inception4d": "cat"},
    "densenet121": {"features.conv0": "", "features.denseblock1.denselayer6.conv2": "",
                    "features.denseblock2.denselayer3.conv2": ""},
}  # fmt: skip


@pytest.mark.parametrize("model", LAYERS)
@pytest.mark.parametrize("size", [(127, 160)], ids=str)
def test_one_unit_sees_what_has_a_gradient(model: str, size: tuple[int, int]) -> None:
    """At the borders the pixels, and within them the field of every unit alike."""
    given = {"aux_logits": False, "transform_input": False} if model == "googlenet" else {}
    module = opened(
        make(f"torchvision:{model}", init_weights=False, **given) if given else make(f"torchvision:{model}")
    )
    network = trace(make(f"torchvision:{model}", **given), (1, 3, *size))
    fields = {layer.name: layer for layer in analyze(network, model).layers}
    outputs: dict[str, Tensor] = {}
    for path in LAYERS[model]:
        module.get_submodule(path).register_forward_hook(
            lambda part, inputs, output, path=path: outputs.update({path: output})
        )
    image = torch.ones(1, 3, *size, dtype=torch.float64, requires_grad=True)
    module(image)
    inner = 0
    for path, operator in LAYERS[model].items():
        name = f"{path}.{operator}".rstrip(".")
        if operator == "add":
            name = max(found for found in fields if found.startswith(f"{path}.add"))
        height, width = outputs[path].shape[2:]
        for unit in {(0, 0), (height // 2, width // 2), (height - 1, width // 3)}:
            (gradient,) = torch.autograd.grad(outputs[path][0, :, *unit].sum(), image, retain_graph=True)
            places = (gradient[0].abs().sum(0) > 0).nonzero()
            seen = tuple(zip(places.amin(0).tolist(), places.amax(0).tolist(), strict=True))
            whole = seen == tuple((0, n - 1) for n in size)
            assert unit_span(network, name, unit) == (None if whole else seen), (name, unit)
            field = fields[name].receptive_field
            assert field is not None
            along = zip(unit, field.size, field.stride, field.padding, strict=True)
            expected = tuple((u * s - p, u * s - p + r - 1) for u, r, s, p in along)
            if all(first >= 0 and last < n for (first, last), n in zip(expected, size, strict=True)):
                inner += 1
                assert seen == expected, name
    assert inner >= 2


def test_after_squeeze_and_excite_the_whole_image_is_seen() -> None:
    network = trace(bare("torchvision:efficientnet_b0"), (1, 3, 128, 128))
    assert unit_span(network, "features.2.0.block.0.0", (0, 0)) is None
    fields = {layer.name: layer.sees for layer in analyze(network, "efficientnet_b0").layers}
    assert fields["features.1.0.block.0.0"] == "window"
    assert fields["features.2.0.block.0.0"] == "image"
