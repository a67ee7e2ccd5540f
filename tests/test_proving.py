"""The proof that a factorized kernel without activations is one convolution, up to the command line."""

import csv
import io
import json
import sys
from typing import Any

import jsonschema
import pytest
import torch
from process import run
from torch import nn

import vggcalc
from vggcalc import Splitting
from vggcalc.jobs import Proved
from vggcalc.measurement.session import Outcome
from vggcalc.results import Proof
from vggcalc.runtime import fuse, prove
from vggcalc.runtime import proving as runtime_proving
from vggcalc.runtime.fusing import FusedConv2d
from vggcalc.spec.families import FAMILIES
from vggcalc.spec.layers import BatchNorm2d, Conv2d, Network, ReLU, chain
from vggcalc.spec.shapes import window
from vggcalc.spec.words import SpecError


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "options",
    [{}, {"bias": False}, {"batch_norm": True, "groups": 2}, {"stride": 2}, {"dilation": 2}],
    ids=str,
)
def test_every_family_is_proved_with_the_border_that_is_seen(family: str, options: dict[str, Any]) -> None:
    comparison = vggcalc.factorize(
        9, in_channels=4, out_channels=4, size=(30, 33), into={family: Splitting(family)}, **options
    )
    variant = comparison[family]
    proof = prove(variant.network)
    assert proof.agrees
    assert proof.interior_error < 1e-12
    assert proof.pads_once_error is None or proof.pads_once_error < 1e-12
    assert proof.border_seen == proof.border
    assert (proof.border_error is None) == (proof.border == (0, 0))
    assert proof.border_error is None or proof.border_error > 1e-6
    assert variant.receptive_field is not None
    assert window(proof.convolution) == variant.receptive_field.size
    assert proof.convolution.stride == variant.receptive_field.stride
    assert proof.convolution.padding == variant.receptive_field.padding


def linear_chain(*layers: Any, size: tuple[int, int] = (20, 20)) -> Network:
    return chain("chain", (3, layers[0].in_channels, *size), [("b", layer) for layer in layers])


def test_the_proof_takes_one_image_and_of_it_what_has_an_interior() -> None:
    conv = Conv2d(2, 2, 5, padding=2)
    assert prove(linear_chain(conv, ReLU(), conv)).input_shape == (1, 2, 20, 20)
    small = prove(linear_chain(conv, conv, size=(3, 20)))
    assert small.input_shape == (1, 2, 12, 20)  # 2 pixels of border on both sides, and 8 within
    assert small.border == small.border_seen == (2, 2)
    large = prove(linear_chain(conv, conv, size=(30_000, 30_000)))
    assert large.input_shape == (1, 2, 12, 12)


def test_a_proof_is_drawn_from_its_seed_and_leaves_torchs_own_alone() -> None:
    network = linear_chain(Conv2d(2, 2, 3, padding=1), BatchNorm2d(2), Conv2d(2, 2, 3, padding=1))
    state = torch.get_rng_state()
    first, again, other = prove(network, 1), prove(network, 1), prove(network, 2)
    assert torch.equal(torch.get_rng_state(), state)
    assert first == again
    assert first.border_error != other.border_error


def test_what_is_too_large_is_refused() -> None:
    wide = Conv2d(4096, 4096, 3, padding=1)
    with pytest.raises(
        SpecError, match=r"composing its kernels takes 5,5\d\d,\d{3},\d{3},\d{3} MACs, more than"
    ):
        prove(linear_chain(wide, wide))
    with pytest.raises(SpecError, match=r"it needs .* bytes of memory, and 1,000 are free"):
        prove(linear_chain(Conv2d(2, 2, 3)), free_bytes=1000)


def test_the_proof_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(stack: nn.Module) -> FusedConv2d:
        fused = fuse(stack)
        if not fused.weight.is_meta:
            fused.weight.data[0, 0, 0, 0] += 1e-6
        return fused

    monkeypatch.setattr(runtime_proving, "fuse", wrong)
    proof = prove(linear_chain(Conv2d(2, 2, 3, padding=1), Conv2d(2, 2, 3, padding=1)))
    assert not proof.agrees
    assert 1e-9 < proof.interior_error < 1e-5
    assert proof.pads_once_error is not None
    assert proof.pads_once_error > 1e-9


def test_a_border_that_is_said_too_narrow_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def narrow(stack: nn.Module) -> FusedConv2d:
        fused = fuse(stack)
        fused.border = (1, 2)
        return fused

    monkeypatch.setattr(runtime_proving, "fuse", narrow)
    proof = prove(linear_chain(*[Conv2d(2, 2, 3, padding=1)] * 3))
    assert not proof.agrees
    assert proof.border_seen == (2, 2)


REFUTED = Proof(Conv2d(2, 2, 5), (1, 2, 9, 9), 0, (1, 1), (3, 3), 0.25, 0.5, None)


def test_a_refuted_proof_is_shown_and_ends_with_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from vggcalc import cli
    from vggcalc.measurement import session

    monkeypatch.setattr(session, "proofs", lambda *given: iter([(0, "factorized", Proved("", REFUTED))]))
    monkeypatch.setattr(sys, "argv", ["vggcalc", "factorize", "5", "--no-latency", "--prove"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 3
    out = capsys.readouterr().out
    assert "Refuted: factorized" in out
    assert "2.5e-1" in out
    assert not Outcome((vggcalc.factorize(5),)).disagrees


# The command line


def test_the_command_line_proves_the_stack_of_a_7x7() -> None:
    done = run("factorize", "7", "--prove", "--no-latency")
    assert done.returncode == 0, done.stderr
    title, heads, _, line, *_ = done.stdout.partition("7×7 without activations")[2].splitlines()
    assert title.endswith("every variant as one convolution, in float64")
    assert heads.split()[:5] == ["variant", "is", "border", "seen", "interior"]
    name, kernel, border, measured, interior, at_edge, once = line.split()[:7]
    assert (name, kernel, border, measured) == ("factorized", "7×7", "2", "2")
    assert float(interior) < 1e-13
    assert float(once) < 1e-13
    assert float(at_edge) > 1e-3
    assert "random image 1×64×56×56" in done.stdout.replace("\n", " ")


def test_the_json_has_the_proofs_and_fits_the_schema() -> None:
    options = ("--channels", "8", "--stride", "2", "--batch-norm", "--no-bias", "--seed", "5")
    done = run("factorize", "5", "9", "--prove", "--no-latency", "--size", "31x40", "--json", *options)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    jsonschema.validate(document, json.loads(run("schema").stdout))
    assert document["environment"] is not None
    for comparison, kernel, border in zip(document["comparisons"], (5, 9), (1, 2), strict=True):
        naive, stack = comparison["variants"]
        assert naive["proof"] is None
        proof = stack["proof"]
        assert proof["convolution"]["kernel_size"] == [kernel, kernel]
        assert proof["convolution"]["stride"] == [2, 2]
        assert proof["convolution"]["bias"] is True  # the batch norm's
        assert proof["border"] == proof["border_seen"] == [border, border]
        assert proof["input_shape"] == [1, 8, 31, 40]
        assert proof["seed"] == 5
        assert max(proof["interior_error"], proof["pads_once_error"]) < 1e-12 < proof["border_error"]


def test_other_formats_have_the_proofs() -> None:
    given = ("factorize", "5", "--prove", "--no-latency", "--channels", "4", "--format")
    rows = list(csv.DictReader(io.StringIO(run(*given, "csv").stdout)))
    (proof,) = [row for row in rows if row["level"] == "proof"]
    assert (proof["variant"], proof["kernels"]) == ("factorized", "5×5")
    assert (proof["border_height"], proof["border_seen_width"]) == ("1", "1")
    assert float(proof["interior_error"]) < 1e-12
    assert "### 5×5 without activations" in run(*given, "markdown").stdout


def test_what_cannot_be_proved_says_why_and_the_rest_is_proved() -> None:
    done = run("factorize", "3", "31", "--channels", "1024", "--size", "7", "--prove", "--no-latency", "--json")
    assert done.returncode == 1
    assert "proof of factorized for 31×31: composing its kernels takes" in done.stderr
    first, second = json.loads(done.stdout)["comparisons"]
    assert first["variants"][1]["proof"]["convolution"]["kernel_size"] == [3, 3]
    assert second["variants"][1]["proof"] is None
