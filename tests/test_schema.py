"""Documents of earlier versions, under tests/data/schema: `load_all`, `gate` and `--against` still read them."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import vggcalc
from vggcalc.cli.app import cli

DOCUMENTS = sorted((Path(__file__).parent / "data/schema").glob("*.json"))

#: The command of each, as long as it answers with the same counts.
COMMANDS = {
    "v1-compare.json": ["compare", "examples/tiny-vgg.toml", "--no-latency"],
    "v1-factorize.json": ["factorize", "5", "--size", "14", "--channels", "8", "--no-latency"],
}


def test_every_document_has_its_command() -> None:
    assert [path.name for path in DOCUMENTS] == sorted(COMMANDS)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_an_earlier_document_is_read_whole(path: Path) -> None:
    """Every count of the file is in what was read."""
    (written,) = json.loads(path.read_text(encoding="utf-8"))["comparisons"]
    read = vggcalc.load(path)
    assert read.name == written["name"]
    assert [variant.name for variant in read.variants] == [variant["name"] for variant in written["variants"]]
    for variant, there in zip(read.variants, written["variants"], strict=True):
        assert variant.costs["macs"] == there["costs"]["macs"]
        assert [layer.costs["macs"] for layer in variant.layers] == [
            layer["costs"]["macs"] for layer in there["layers"]
        ]
        assert [latency.median_s for latency in variant.latency] == [
            latency["median_s"] for latency in there["latency"]
        ]
    assert vggcalc.gate(read, "factorized.against.macs > 100%", against=path)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_an_earlier_document_is_compared_with_todays(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parent.parent)
    conditions = ["--fail-if", "factorized.against.macs != 100%", "--fail-if", "naive.against.saved_bytes != 100%"]
    done = CliRunner().invoke(cli, [*COMMANDS[path.name], "--against", str(path), *conditions])
    assert done.exit_code == 0, done.stderr
