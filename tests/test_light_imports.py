"""What a light command loads, in a fresh interpreter; and that the check can fail."""

import json
import subprocess
import sys

import pytest

HEAVY = {"torch", "numpy", "scipy", "fvcore", "matplotlib"}

RUN = """
import json, sys
sys.argv = ["vggcalc", *json.loads(sys.argv[1])]
import io
real, sys.stdout = sys.stdout, io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
from vggcalc.cli.main import main
try:
    main()
except SystemExit as error:
    assert not error.code, error.code
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})), file=real)
"""


def loaded(*arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(arguments)], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


LIGHT = [
    ("factorize", "7", "9", "--no-latency"),
    ("compare", "vgg16", "--no-latency"),
    ("summary", "64,M,128", "--no-latency"),
    ("compare", "vgg16", "--no-latency", "--format", "csv"),
    ("compare", "vgg16", "--no-latency", "--format", "markdown"),
    ("models",),
    ("schema",),
]


@pytest.mark.parametrize("arguments", LIGHT, ids=" ".join)
def test_counts_load_nothing_heavy(arguments: tuple[str, ...]) -> None:
    assert not loaded(*arguments) & HEAVY


@pytest.mark.parametrize(
    "arguments",
    [
        ("factorize", "7", "--no-latency", "--json"),
        ("compare", "vgg16", "--no-latency", "--json"),
        ("summary", "vgg16", "--no-latency", "--json"),
        ("models", "--json"),
    ],
    ids=" ".join,
)
def test_json_loads_no_rich(arguments: tuple[str, ...]) -> None:
    assert not loaded(*arguments) & (HEAVY | {"rich"})


def test_help_loads_no_msgspec() -> None:
    assert "msgspec" not in loaded("--help")
    assert "msgspec" not in loaded("compare", "--help")


def test_the_check_can_fail() -> None:
    assert "rich" in loaded("compare", "vgg16", "--no-latency")
    assert "msgspec" in loaded("compare", "vgg16", "--no-latency", "--json")
