"""The library: the same words as on the command line, what it accepts, what it refuses, how results show themselves."""

import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from process import invoke
from torch import nn

import vggcalc
from vggcalc.library import measuring
from vggcalc.measurement.plan import Plan
from vggcalc.measurement.session import MeasurementOutcome
from vggcalc.results import Comparison
from vggcalc.results.display import MOST_SHOWN_LINES

pytestmark = pytest.mark.usefixtures("warm_workers")

VGG = vggcalc.compare("vgg16")
SEVEN = vggcalc.factorize(7)


def printed(*arguments: str) -> str:
    """What the command prints without measuring."""
    done = invoke(*arguments, "--no-latency", COLUMNS="100")
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---------------------------------------------------------------- one way to do each thing

PAIRS: list[tuple[Comparison, tuple[str, ...]]] = [
    (SEVEN, ("factorize", "7")),
    (
        vggcalc.factorize("5x5", channels=32, size="28x30", stride=2, bias=False),
        ("factorize", "5", "--channels", "32", "--size", "28x30", "--stride", "2", "--no-bias"),
    ),
    (
        vggcalc.factorize(7, into=["stack", "asymmetric"], widths=(32,), dtype="fp16"),
        ("factorize", "7", "--into", "stack,asymmetric", "--widths", "32", "--dtype", "float16"),
    ),
    (vggcalc.factorize((7, 7), stem=True), ("factorize", "7", "--stem")),
    (
        vggcalc.factorize(9, depthwise=True, padding=2, activation="gelu", batch_norm=True),
        ("factorize", "9", "--depthwise", "--padding", "2", "--activation", "gelu", "--batch-norm"),
    ),
    (VGG, ("compare", "vgg16")),
    (vggcalc.compare("vgg16", into="all"), ("compare", "vgg16", "--into", "all")),
    (vggcalc.compare("vgg16", merge=True, only="block[12]"), ("compare", "vgg16", "--merge", "--only", "block[12]")),
    (vggcalc.compare("alexnet", min_kernel=11), ("compare", "alexnet", "--min-kernel", "11")),
    (vggcalc.summary("C", (2, 3, 64, 64)), ("summary", "C", "--batch", "2", "--size", "64")),
    (vggcalc.summary("vgg11", counter="fvcore"), ("summary", "vgg11", "--as", "fvcore")),
    (
        vggcalc.summary("vgg11", depth=1, columns=["macs", "saved_bytes"], sort="macs", top=2),
        ("summary", "vgg11", "--depth", "1", "--columns", "macs,saved_bytes", "--sort", "macs", "--top", "2"),
    ),
    (
        vggcalc.summary("vgg11", receptive_field="block2.conv1", unit=(7, 7)),
        ("summary", "vgg11", "--receptive-field", "block2.conv1", "--unit", "7,7"),
    ),
]


@pytest.mark.parametrize(("comparison", "command"), PAIRS, ids=[" ".join(command) for _, command in PAIRS])
def test_a_comparison_prints_as_the_command(
    comparison: Comparison, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole table, or its beginning and end where it is longer than a screen."""
    monkeypatch.setenv("COLUMNS", "100")
    expected, lines = printed(*command).rstrip().splitlines(), str(comparison).splitlines()
    assert (expected.pop(), lines.pop()) == ("More: --details.", "More: to_markdown().")
    assert len(lines) == min(len(expected), MOST_SHOWN_LINES)
    if len(expected) > MOST_SHOWN_LINES:
        cut = next(i for i, line in enumerate(lines) if line.startswith("…"))
        assert f"{len(expected) - MOST_SHOWN_LINES + 1} lines more" in lines[cut]
        assert "to_markdown()" in lines[cut]
        expected[cut : len(expected) - len(lines) + cut + 1] = [lines[cut]]
    assert lines == expected


@pytest.mark.parametrize(("comparison", "command"), PAIRS[:3], ids=[" ".join(command) for _, command in PAIRS[:3]])
def test_its_documents_are_those_of_the_command(comparison: Comparison, command: tuple[str, ...]) -> None:
    assert comparison.to_markdown() == printed(*command, "--format", "markdown")
    assert comparison.to_csv() == printed(*command, "--format", "csv")
    document, other = (msgspec.json.decode(text) for text in (comparison.to_json(), printed(*command, "--json")))
    assert document.pop("command") == "library"
    assert other.pop("command") == "factorize"
    assert document == other


# ---------------------------------------------------------------- models

SAME = [
    "64,64,M,128",
    [64, 64, "M", 128],
    ("64", "64", "M", "128"),
    vggcalc.Config("tokens", (64, 64, "M", 128)),
    vggcalc.network("64,64,M,128"),
]


@pytest.mark.parametrize("model", SAME, ids=lambda model: type(model).__name__)
def test_a_model_may_be_written_in_many_ways(model: Any) -> None:
    assert vggcalc.summary(model).variants[0].costs == vggcalc.summary("64,64,M,128").variants[0].costs


def test_a_path_is_a_model(tmp_path: Path) -> None:
    path = tmp_path / "net.toml"
    path.write_text('features = [64, "M", 128]\n')
    assert vggcalc.summary(path).macs == vggcalc.summary([64, "M", 128]).macs
    assert vggcalc.summary(path).name == "net"


class Stem(nn.Module):
    """A module that stands here, as one does in a notebook."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 7, stride=2, padding=3)
        self.head = nn.Linear(8, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.conv(x).relu().mean((2, 3)))


STEM = Stem()
STEM_MACS = 3 * 8 * 49 * 16 * 16 + 8 * 10


@pytest.mark.parametrize("inputs", [(1, 3, 32, 32), [1, 3, 32, 32], "1x3x32x32", torch.zeros(1, 3, 32, 32)])
def test_a_module_is_traced_here(inputs: Any) -> None:
    before = {name: tensor.clone() for name, tensor in STEM.state_dict().items()}
    found = vggcalc.summary(STEM, inputs)
    assert (found.name, found.macs, found.input_shape) == ("Stem", STEM_MACS, (1, 3, 32, 32))
    assert all(torch.equal(tensor, before[name]) for name, tensor in STEM.state_dict().items())
    assert vggcalc.summary(STEM, size=32).macs == STEM_MACS


def test_a_module_is_compared_as_given() -> None:
    found = vggcalc.compare(STEM, inputs=(1, 3, 32, 32), into="stack,asymmetric", min_kernel=7)
    assert [variant.name for variant in found] == ["given", "stack", "asymmetric"]
    for family in ("stack", "asymmetric"):
        module = vggcalc.rewrite(STEM, (1, 3, 32, 32), into=family, min_kernel=7)
        assert sum(parameter.numel() for parameter in module.parameters()) == found[family].parameters


def test_what_a_module_raises_is_the_cause() -> None:
    with pytest.raises(vggcalc.InputError, match=r"^Stem cannot be traced: layer .* wants 3 channels") as caught:
        vggcalc.summary(STEM, (1, 1, 32, 32))
    assert f"({vggcalc.__path__[0]}" not in str(caught.value), "no place in our own code"
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_several_families_are_no_one_module() -> None:
    with pytest.raises(vggcalc.InputError, match="give one family"):
        vggcalc.rewrite(STEM, into="all")


# ---------------------------------------------------------------- what is refused


def refused(call: str) -> Exception:
    """What the call raises."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one is asserted
        eval(call)
    return caught.value


WRONG_TYPES = [
    ("vggcalc.factorize(7.0)", "kernel 7.0 is of type float"),
    ("vggcalc.factorize(True)", "kernel True"),
    ("vggcalc.factorize(None)", "kernel None"),
    *((f"vggcalc.factorize(7, {name}='2')", f"{name} '2' is of type str: it takes a whole number")
      for name in ("channels", "in_channels", "out_channels", "batch", "dims", "groups")),
    *((f"vggcalc.factorize(7, {name}='no')", f"{name} 'no' is of type str: it takes True or False")
      for name in ("bias", "batch_norm", "depthwise", "causal", "stem")),
    *((f"vggcalc.factorize(7, {name}=1.5)", f"{name} 1.5 is of type float: it takes ")
      for name in ("size", "stride", "padding", "dilation", "into", "stride_at", "widen", "dtype", "activation")),
    ("vggcalc.factorize(7, widths={})", "widths {} is of type dict"),
    ("vggcalc.factorize(7, into={'a': 'stack'})", "into: a 'stack' is of type str"),
    *((f"vggcalc.compare({model})", "it takes a name such as") for model in ("16", "None", "[64, 1.5]", "{}")),
    ("vggcalc.compare(Stem)", "model Stem is a class: make a module of it first"),
    ("vggcalc.compare('vgg16', inputs=224)", "inputs 224 is of type int: it takes a shape"),
    ("vggcalc.compare('vgg16', min_kernel='7')", "min_kernel '7'"),
    ("vggcalc.compare('vgg16', only=3)", "only 3"),
    ("vggcalc.compare('vgg16', merge='yes')", "merge 'yes'"),
    ("vggcalc.compare('vgg16', replacing=3)", "replacing 3"),
    ("vggcalc.compare('vgg16', batch_norm='yes')", "batch_norm 'yes'"),
    ("vggcalc.compare('vgg16', args=3)", "args 3"),
    ("vggcalc.summary('vgg16', classes='10')", "classes '10'"),
    ("vggcalc.summary('vgg16', counter=3)", "counter 3"),
    ("vggcalc.summary('vgg16', columns=3)", "columns 3"),
    ("vggcalc.summary('vgg16', sort=3)", "cost 3"),
    ("vggcalc.summary('vgg16', depth='2')", "depth '2'"),
    ("vggcalc.summary('vgg16', receptive_field='block1.conv1', unit=7)", "unit 7"),
    ("vggcalc.sweep(7.5)", "kernels 7.5"),
    ("vggcalc.sweep([])", "kernels []"),
    ("vggcalc.sweep(7, size=1.5)", "size 1.5"),
    ("vggcalc.sweep(7, bias='x')", "bias 'x'"),
    ("vggcalc.gate(3)", "comparison 3"),
    ("vggcalc.gate(VGG, 3)", "condition 3"),
    ("vggcalc.load(3)", "path 3"),
    ("VGG.save(3)", "path 3"),
    ("VGG.plot(3)", "path 3"),
    *((f"vggcalc.{name}('vgg16')", "comparison 'vgg16' is of type str") for name in ("measure", "check", "verify")),
    ("vggcalc.measure(VGG, '30')", "budget '30'"),
    ("vggcalc.measure(VGG, precision='x')", "precision 'x'"),
    ("vggcalc.measure(VGG, device=3)", "device 3"),
    ("vggcalc.measure(VGG, device=[])", "device []"),
    ("vggcalc.measure(VGG, threads='x')", "threads 'x'"),
    ("vggcalc.measure(VGG, rounds='x')", "rounds 'x'"),
    ("vggcalc.measure(VGG, seed=None)", "seed None"),
    ("vggcalc.measure(VGG, cold=1)", "cold 1"),
    ("vggcalc.verify(SEVEN, seed='x')", "seed 'x'"),
    *((f"vggcalc.{name}(3)", "3 is of type int: it takes a torch.nn.Module") for name in ("trace", "rewrite", "fuse")),
    ("vggcalc.build(3)", "network 3"),
    ("vggcalc.network(3)", "model 3"),
    ("vggcalc.split(3)", "3 is of type int"),
    ("vggcalc.merge(3)", "and no int"),
    ("vggcalc.Replacing(3)", "factorization 3"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "says"), WRONG_TYPES, ids=[call for call, _ in WRONG_TYPES])
def test_a_wrong_type_is_a_type_error_that_says_what_is_accepted(call: str, says: str) -> None:
    error = refused(call)
    assert type(error) is TypeError
    assert says in str(error)
    assert "\n" not in str(error)


NEAR = [
    ("vggcalc.compare('vgg61')", "did you mean vgg16"),
    ("vggcalc.factorize(7, into='seperable')", "did you mean separable?"),
    ("vggcalc.Factorization('stak')", "did you mean stack?"),
    ("vggcalc.factorize(7, dtype='flaot32')", "did you mean float32?"),
    ("vggcalc.factorize(7, activation='rellu')", "did you mean relu?"),
    ("vggcalc.compare('vgg16', activation='gelo')", "did you mean gelu?"),
    ("vggcalc.Config('x', (64,), activation='gelo') and vggcalc.summary(vggcalc.Config('x', (64,), activation='gelo'))",
     "did you mean gelu?"),
    ("vggcalc.factorize(7, widen='frist')", "did you mean first?"),
    ("vggcalc.summary('vgg16', counter='fvcor')", "did you mean fvcore?"),
    ("vggcalc.summary('vgg16', sort='params')", "did you mean parameters?"),
    ("vggcalc.summary('vgg16', columns='macs,saved')", "did you mean saved_bytes?"),
    ("vggcalc.summary('vgg16', depth=0)", "depth is 0"),
    ("vggcalc.summary('vgg16', top=0)", "top is 0"),
    ("vggcalc.summary('vgg16', receptive_field='block1.cov1', unit=(0, 0))", "did you mean block1.conv1?"),
    ("vggcalc.measure(VGG, mode='infer')", "did you mean inference?"),
    ("vggcalc.measure(VGG, allocator='pined')", "did you mean pinned?"),
    ("vggcalc.sweep(7, activation='rellu')", "did you mean relu?"),
    ("VGG.ratio('factorised')", "did you mean factorized?"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "hint"), NEAR, ids=[call for call, _ in NEAR])
def test_a_wrong_name_is_an_input_error_with_the_nearest(call: str, hint: str) -> None:
    error = refused(call)
    assert type(error) is vggcalc.InputError
    assert hint in str(error)


WRONG_VALUES = [
    ("vggcalc.factorize((7, 8))", "kernel 7×8 is even"),
    ("vggcalc.factorize((7, 9), dims=3)", "kernel_size 7×9 has 2 numbers for 3 axes"),
    (
        "vggcalc.factorize(7, stride=(1, 2, 2), size=(8, 8))",
        "stride 1×2×2 has 3 numbers for 2 axes",
    ),
    ("vggcalc.factorize(8)", "kernel 8 is even"),
    *(
        (f"vggcalc.{call}, dims={dims})", f"dims {dims} is none of 1, 2, 3")
        for call in (
            "summary(STEM",
            "summary('torchvision:resnet18'",
            "summary('vgg16'",
            "factorize(7",
            "factorize(7, stem=True",
            "sweep(7",
        )
        for dims in (0, 4, -1)
    ),
    ("vggcalc.factorize(7, channels=8, in_channels=9)", "channels is both ends"),
    ("vggcalc.factorize(7, depthwise=True, groups=2)", "depthwise says the groups already"),
    ("vggcalc.factorize(7, dtype=torch.int8)", "integers have no gradient"),
    ("vggcalc.compare('vgg16', merge=True, into='stack')", "merge goes the other way"),
    (
        "vggcalc.compare('vgg16', inputs=(1, 3, 224))",
        "input 1×3×224 is not all of its shape, batch×channels×height×width: did you mean 1x3x224x224?",
    ),
    ("vggcalc.compare('vgg16', inputs=(1, 3, 224, 224), size=224)", "inputs gives the whole shape"),
    ("vggcalc.compare('vgg16', args={'x': 1})", "args are for imported models"),
    ("vggcalc.compare(STEM, args={'x': 1})", "args cannot change it"),
    ("vggcalc.compare(STEM, classes=3)", "classes cannot change it"),
    ("vggcalc.summary('vgg16', unit=(1, 1))", "give both"),
    ("vggcalc.measure(VGG, 0)", "budget 0 is no time"),
    ("vggcalc.measure(VGG, precision=0.0)", "precision 0.0 is no share"),
    ("vggcalc.measure(VGG, processes=0)", "processes 0 is out of range"),
    ("vggcalc.measure(VGG, rounds=100_001)", "rounds 100001 is out of range"),
    ("vggcalc.measure(VGG, threads=0)", "threads 0 is out of range"),
    ("vggcalc.measure(VGG, seed=-1)", "seed -1 is out of range"),
    ("vggcalc.verify(VGG)", "verify is for factorized kernels"),
    ("vggcalc.build(vggcalc.trace(STEM))", "use vggcalc.rewrite"),
    ("vggcalc.sweep('7:3')", "is an empty range"),
    ("vggcalc.load('nowhere.json')", "nowhere.json: No such file"),
    ("VGG.save('figures.foo')", "does not say the format"),
    ("VGG.to_pandas('rows')", "there are total, block, layer, module"),
    ("VGG.to_pandas('module')", "modules are the rows of a summary, and vgg16 is compared"),
    ("SEVEN.ratio('naive')", "there are factorized"),
    ("vggcalc.summary('vgg16').ratio('vgg16')", "vgg16 has a single variant"),
]


@pytest.mark.parametrize(("call", "says"), WRONG_VALUES, ids=[call for call, _ in WRONG_VALUES])
def test_a_wrong_value_is_an_input_error_in_one_line(call: str, says: str) -> None:
    if "to_pandas" in call:
        pytest.importorskip("pandas")
    error = refused(call)
    assert type(error) is vggcalc.InputError
    assert says in str(error)
    assert "\n" not in str(error)


def test_a_name_that_vggcalc_lacks_has_a_hint() -> None:
    with pytest.raises(AttributeError, match=r"has no attribute 'facorize': did you mean factorize\?"):
        vggcalc.facorize  # type: ignore[attr-defined]  # noqa: B018


# ---------------------------------------------------------------- results


def test_a_single_variant_has_its_costs_as_attributes() -> None:
    one = vggcalc.summary("vgg16")
    assert (one.macs, one.parameters) == (15_470_264_320, 138_357_544)
    with pytest.raises(AttributeError, match=r"name one, such as comparison\['factorized'\]\.macs"):
        VGG.macs  # noqa: B018
    with pytest.raises(AttributeError, match="no 'mac'"):
        one.mac  # noqa: B018


def test_variants_are_found_by_name() -> None:
    assert "factorized" in VGG
    assert "given" not in VGG
    assert [variant.name for variant in VGG] == ["naive", "factorized"]
    with pytest.raises(KeyError, match=r"did you mean factorized\?"):
        VGG["factorised"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (VGG, "<Comparison of vgg16: naive, factorized; input 1×3×224×224, float32>"),
        (vggcalc.network("vgg16"), "<Network vgg16: 40 layers, input 1×3×224×224>"),
        (VGG["factorized"], "<Variant factorized: 40 layers, 138,357,544 parameters, 15,470,264,320 MACs>"),
        (VGG["naive"].blocks[0], "<BlockResult block1: output 1×64×112×112, 4,864 parameters, 240,844,800 MACs>"),
        (
            SEVEN["naive"].layers[0],
            "<LayerResult block1.conv1: Conv2d, output 1×64×56×56, 200,768 parameters, 629,407,744 MACs>",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_repr_is_one_line(value: object, shown: str) -> None:
    assert repr(value) == shown


def test_a_notebook_shows_the_tables() -> None:
    shown = VGG._repr_html_()
    assert shown.startswith("<div")
    assert "<script" not in shown
    for figure in ("15,470,264,320", "138,357,544"):
        assert figure in shown


@pytest.mark.parametrize("ending", ["json", "csv", "md", "html", "txt"])
def test_a_file_says_its_format_by_its_name(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"seven.{ending}"
    SEVEN.save(path)
    text = path.read_text(encoding="utf-8")
    made = {"json": SEVEN.to_json, "csv": SEVEN.to_csv, "md": SEVEN.to_markdown, "html": SEVEN.to_html}
    assert text == (made[ending]() if ending in made else SEVEN._rendered("table", 160))
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    SEVEN.save(tmp_path / "seven.json")
    loaded = vggcalc.load(tmp_path / "seven.json")
    assert loaded.variants == SEVEN.variants
    assert loaded.ratios == SEVEN.ratios
    assert loaded.to_json() == SEVEN.to_json()
    several = tmp_path / "several.json"
    several.write_text(printed("factorize", "5", "7", "--json"), encoding="utf-8")
    assert [one.name for one in vggcalc.load_all(several)] == ["5×5", "7×7"]
    with pytest.raises(vggcalc.InputError, match=r"holds 2 comparisons, 5×5, 7×7: use vggcalc\.load_all"):
        vggcalc.load(several)


def test_a_figure_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    SEVEN.plot(tmp_path / "seven.svg")
    assert (tmp_path / "seven.svg").read_text().startswith("<?xml")


def test_a_data_frame_holds_every_layer() -> None:
    pytest.importorskip("pandas")
    frame = VGG.to_pandas("layer")
    assert frame[frame["variant"] == "factorized"]["macs"].sum() == VGG["factorized"].macs
    assert list(VGG.to_pandas()["macs_ratio"]) == [1, VGG.ratio("factorized").macs]
    assert list(VGG.to_pandas("block")["block"])[:2] == ["block1", "block2"]


def test_without_pandas_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        VGG.to_pandas()


# ---------------------------------------------------------------- sweep and gate


def test_a_sweep_is_what_factorize_says() -> None:
    rows = list(vggcalc.sweep(range(3, 12, 2), channels=(16, 64), into="stack,asymmetric", size="7,14"))
    assert len(rows) == 5 * 2 * 2 * 3
    for row in rows[:: len(rows) // 12]:
        one = vggcalc.factorize(row["kernel"], channels=row["in_channels"], size=row["height"], into="stack,asymmetric")
        assert row["macs"] == one[row["variant"]].macs
        assert row["saved_bytes"] == one[row["variant"]].saved_bytes


def test_a_sweep_takes_only_what_is_needed() -> None:
    endless = vggcalc.sweep("3:999:2", channels="1:1000", into="all")
    assert next(endless)["variant"] == "naive"


def test_a_gate_is_true_where_all_is_well(tmp_path: Path) -> None:
    assert vggcalc.gate(VGG, "factorized.macs > 16G")
    failing = vggcalc.gate([VGG, SEVEN], "factorized.macs > 15G", "factorized.ratio.macs > 99%")
    assert not failing
    assert len(failing.held) == 2
    VGG.save(tmp_path / "before.json")
    assert vggcalc.gate(VGG, "factorized.against.macs > 100%", against=tmp_path / "before.json")
    with pytest.raises(vggcalc.InputError, match="figure 'mcs' is unknown: did you mean macs"):
        vggcalc.gate(VGG, "factorized.mcs > 3")


# ---------------------------------------------------------------- measuring


def test_a_plan_is_that_of_the_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    plans = []

    def measured(comparisons: list[Comparison], plan: Plan, *_: object) -> MeasurementOutcome:
        plans.append(plan)
        return MeasurementOutcome(tuple(comparisons), failures=("latency on cpu: nothing",))

    monkeypatch.setattr(measuring, "measure_all", measured)
    with (
        pytest.warns(vggcalc.MeasurementWarning, match="latency on cpu: nothing"),
        pytest.raises(vggcalc.WorkerError, match="nothing of 7×7 could be measured"),
    ):
        vggcalc.measure(
            SEVEN, 7, device="cpu", threads=[1, 2], mode="training", memory_format="channels_last", dtype="bf16",
            compile=True, cold=True, precision=0.1, rounds=5, quick=True, check=True, seed=3, allocator="default",
        )  # fmt: skip
    assert plans == [
        Plan(
            latency=True, check=True, verify=False, devices=("cpu",), dtypes=("bfloat16",), threads=(1, 2),
            modes=("training",), memory_formats=("channels_last",), executions=("eager", "compiled"), cold=True,
            budget_s=7, precision=0.1, rounds=5, quick=True, seed=3, pin_allocator=False,
        )
    ]  # fmt: skip


def test_what_was_measured_is_chosen_by_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment stands in the comparison, and in a document once."""
    comparison = vggcalc.factorize(7, into="all")
    assert comparison.environment is None
    assert set(comparison.pareto) < {variant.name for variant in comparison}


def test_a_module_of_this_process_is_counted_again_in_a_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A class that no module has, as in a notebook, around one of a module that this process found on its path."""
    (tmp_path / "scaling_of_a_user.py").write_text(
        "from torch import nn\nclass Scaling(nn.Module):\n    def forward(self, x):\n        return 2 * x\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    from scaling_of_a_user import Scaling

    class Local(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.scaling = nn.Conv2d(3, 8, 7, padding=3), Scaling()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            scaled: torch.Tensor = self.scaling(self.conv(x))
            return scaled

    module = Local()
    found = vggcalc.check(vggcalc.compare(module, inputs=(1, 3, 16, 16)))
    for variant in found:
        assert variant.crosscheck is not None
        assert variant.crosscheck.agrees
    assert found.environment is not None
    assert msgspec.json.decode(found.to_json())["comparisons"][0]["environment"] is None


def test_a_module_that_is_gone_cannot_be_measured() -> None:
    with pytest.raises(vggcalc.InputError, match="keep it in a variable, and compare it again"):
        vggcalc.check(vggcalc.compare(Stem(), inputs=(1, 3, 32, 32)))


def test_the_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    example = Path(__file__).parent.parent / "examples" / "library.py"
    runpy.run_path(str(example), run_name="__main__")
    assert "asymmetric of 31×31: 0.065 of the MACs" in capsys.readouterr().out


# ---------------------------------------------------------------- imports


@pytest.mark.parametrize(
    "source",
    [
        "import vggcalc",
        "import vggcalc; vggcalc.compare('vgg16')",
        "import vggcalc; repr(vggcalc.factorize(7)); vggcalc.gate(vggcalc.summary('vgg16'), 'macs > 1')",
    ],
)
def test_counting_loads_no_torch(source: str) -> None:
    check = "; import sys; assert not {'torch', 'numpy', 'rich', 'scipy', 'pandas'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", source + check], check=True, timeout=600)


def test_the_check_of_imports_can_fail() -> None:
    done = subprocess.run([sys.executable, "-c", "import numpy, sys; assert 'numpy' not in sys.modules"], check=False)
    assert done.returncode
