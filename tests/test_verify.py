"""The verification that a factorized kernel without activations is one convolution, up to the command line."""

import csv
import io
import json
from typing import Any

import jsonschema
import pytest
import torch
from builders import PLANAR
from process import invoke as run
from torch import nn

import vggcalc
from vggcalc import Factorization
from vggcalc.errors import InputError
from vggcalc.measurement.session import MeasurementOutcome
from vggcalc.nets.graph import Network, chain
from vggcalc.nets.layers import BatchNorm2d, Conv2d, ReLU
from vggcalc.nets.shapes import window_extent
from vggcalc.protocol import Verified
from vggcalc.results import Verification
from vggcalc.runtime.check import verify as runtime_verifying
from vggcalc.runtime.check.verify import verify
from vggcalc.runtime.fuse.fuse import FusedConv2d, fuse

pytestmark = pytest.mark.usefixtures("warm_workers")


@pytest.mark.parametrize("family", PLANAR)
@pytest.mark.parametrize(
    "options",
    [{}, {"bias": False}, {"batch_norm": True, "groups": 2}, {"stride": 2}, {"dilation": 2}],
    ids=str,
)
def test_every_family_is_verified_with_the_border_that_is_seen(family: str, options: dict[str, Any]) -> None:
    comparison = vggcalc.factorize(
        9, in_channels=4, out_channels=4, size=(30, 33), into={family: Factorization(family)}, **options
    )
    variant = comparison[family]
    verification = verify(variant.network)
    assert verification.agrees
    assert verification.interior_error < 1e-12
    assert verification.pads_once_error is None or verification.pads_once_error < 1e-12
    assert verification.border_seen == verification.border
    assert (verification.border_error is None) == (verification.border == (0, 0))
    assert verification.border_error is None or verification.border_error > 1e-6
    assert variant.receptive_field is not None
    assert window_extent(verification.convolution) == variant.receptive_field.size
    assert verification.convolution.stride == variant.receptive_field.stride
    assert verification.convolution.padding == variant.receptive_field.padding


def linear_chain(*layers: Any, size: tuple[int, int] = (20, 20)) -> Network:
    return chain("chain", (3, layers[0].in_channels, *size), [("b", layer) for layer in layers])


def test_the_verification_takes_one_image_and_of_it_what_has_an_interior() -> None:
    conv = Conv2d(2, 2, 5, padding=2)
    assert verify(linear_chain(conv, ReLU(), conv)).input_shape == (1, 2, 20, 20)
    small = verify(linear_chain(conv, conv, size=(3, 20)))
    assert small.input_shape == (1, 2, 12, 20)  # 2 pixels of border on both sides, and 8 within
    assert small.border == small.border_seen == (2, 2)
    large = verify(linear_chain(conv, conv, size=(30_000, 30_000)))
    assert large.input_shape == (1, 2, 12, 12)


def test_a_verification_is_drawn_from_its_seed_and_leaves_torchs_own_alone() -> None:
    network = linear_chain(Conv2d(2, 2, 3, padding=1), BatchNorm2d(2), Conv2d(2, 2, 3, padding=1))
    state = torch.get_rng_state()
    first, again, other = verify(network, 1), verify(network, 1), verify(network, 2)
    assert torch.equal(torch.get_rng_state(), state)
    assert first == again
    assert first.border_error != other.border_error


def test_what_is_too_large_is_refused() -> None:
    wide = Conv2d(4096, 4096, 3, padding=1)
    with pytest.raises(InputError, match=r"composing its kernels takes 5,5\d\d,\d{3},\d{3},\d{3} MACs, more than"):
        verify(linear_chain(wide, wide))
    with pytest.raises(InputError, match=r"it needs .* bytes of memory, and 1,000 are free"):
        verify(linear_chain(Conv2d(2, 2, 3)), free_bytes=1000)


def test_the_verification_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(stack: nn.Module) -> FusedConv2d:
        fused = fuse(stack)
        if not fused.weight.is_meta:
            fused.weight.data[0, 0, 0, 0] += 1e-6
        return fused

    monkeypatch.setattr(runtime_verifying, "fuse", wrong)
    verification = verify(linear_chain(Conv2d(2, 2, 3, padding=1), Conv2d(2, 2, 3, padding=1)))
    assert not verification.agrees
    assert 1e-9 < verification.interior_error < 1e-5
    assert verification.pads_once_error is not None
    assert verification.pads_once_error > 1e-9


def test_a_border_that_is_said_too_narrow_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def narrow(stack: nn.Module) -> FusedConv2d:
        fused = fuse(stack)
        fused.border = (1, 2)
        return fused

    monkeypatch.setattr(runtime_verifying, "fuse", narrow)
    verification = verify(linear_chain(*[Conv2d(2, 2, 3, padding=1)] * 3))
    assert not verification.agrees
    assert verification.border_seen == (2, 2)


REFUTED = Verification(Conv2d(2, 2, 5), (1, 2, 9, 9), 0, (1, 1), (3, 3), 0.25, 0.5, None)


def test_a_refuted_verification_is_shown_and_ends_with_3(monkeypatch: pytest.MonkeyPatch) -> None:
    from vggcalc.measurement import session

    monkeypatch.setattr(session, "verifications", lambda *given: iter([Verified("factorized", REFUTED)]))
    done = run("factorize", "5", "--no-latency", "--verify")
    assert done.returncode == 3
    assert "Not the same: factorized" in done.stdout
    assert "2.5e-1" in done.stdout
    assert not MeasurementOutcome((vggcalc.factorize(5),)).disagrees


# The command line


def test_the_command_line_verifies_the_stack_of_a_7x7() -> None:
    done = run("factorize", "7", "--verify", "--no-latency")
    assert done.returncode == 0, done.stderr
    title, heads, _, line, *_ = done.stdout.partition("7×7 without activations")[2].splitlines()
    assert title.endswith("every variant as one convolution, in float64")
    assert heads.split()[:6] == ["variant", "kernel", "border", "border", "seen", "interior"]
    name, kernel, border, measured, interior, at_edge, once = line.split()[:7]
    assert (name, kernel, border, measured) == ("factorized", "7×7", "2", "2")
    assert float(interior) < 1e-13
    assert float(once) < 1e-13
    assert float(at_edge) > 1e-3
    assert "random input 1×64×56×56" in done.stdout.replace("\n", " ")


def test_the_json_has_the_verifications_and_fits_the_schema() -> None:
    options = ("--channels", "8", "--stride", "2", "--batch-norm", "--no-bias", "--seed", "5")
    done = run("factorize", "5", "9", "--verify", "--no-latency", "--size", "31x40", "--json", *options)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    jsonschema.validate(document, json.loads(run("schema").stdout))
    assert document["environment"] is not None
    for comparison, kernel, border in zip(document["comparisons"], (5, 9), (1, 2), strict=True):
        naive, stack = comparison["variants"]
        assert naive["verification"] is None
        verification = stack["verification"]
        assert verification["convolution"]["kernel_size"] == [kernel, kernel]
        assert verification["convolution"]["stride"] == [2, 2]
        assert verification["convolution"]["bias"] is True  # the batch norm's
        assert verification["border"] == verification["border_seen"] == [border, border]
        assert verification["input_shape"] == [1, 8, 31, 40]
        assert verification["seed"] == 5
        assert (
            max(verification["interior_error"], verification["pads_once_error"]) < 1e-12 < verification["border_error"]
        )


def test_other_formats_have_the_verifications() -> None:
    given = ("factorize", "5", "--verify", "--no-latency", "--channels", "4", "--format")
    rows = list(csv.DictReader(io.StringIO(run(*given, "csv").stdout)))
    (verification,) = [row for row in rows if row["verified_kernel"]]
    assert (verification["variant"], verification["verified_kernel"]) == ("factorized", "5×5")
    assert (verification["border_height"], verification["border_seen_width"]) == ("1", "1")
    assert float(verification["interior_error"]) < 1e-12
    assert "### 5×5 without activations" in run(*given, "markdown").stdout


def test_what_cannot_be_verified_says_why_and_the_rest_is_verified() -> None:
    done = run("factorize", "3", "31", "--channels", "1024", "--size", "7", "--verify", "--no-latency", "--json")
    assert done.returncode == 1
    assert "verification of factorized for 31×31: composing its kernels takes" in done.stderr
    first, second = json.loads(done.stdout)["comparisons"]
    assert first["variants"][1]["verification"]["convolution"]["kernel_size"] == [3, 3]
    assert second["variants"][1]["verification"] is None
