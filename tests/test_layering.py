"""The rooms of the house: who may import whom, read from the imports themselves."""

import ast
from collections.abc import Set
from pathlib import Path

import pytest

import vggcalc

PACKAGE = Path(vggcalc.__file__).parent

#: Room → the rooms it may import beside itself. `protocol` is what parent and worker say to each other.
MAY_IMPORT = {
    "errors": set(),
    "nets": {"errors"},
    "results": {"errors", "nets"},
    "protocol": {"nets", "results"},
    "analysis": {"errors", "nets", "results"},
    "runtime": {"errors", "nets", "results", "protocol"},
    "measurement": {"errors", "nets", "results", "protocol"},
    "report": {"errors", "nets", "results"},
    "pipeline": {"errors", "nets", "results", "analysis", "report", "measurement"},
    "library": {"errors", "nets", "results", "analysis", "report", "measurement", "pipeline", "runtime"},
    "cli": {"errors", "nets", "results", "analysis", "report", "measurement", "pipeline", "library"},
}

#: What only one room may import.
HEAVY = {
    "torch": {"runtime", "library"},
    "fvcore": {"runtime"},
    "rich": {"report"},
    "matplotlib": {"report"},
    "scipy": {"measurement"},
    "numpy": {"analysis", "report"},
    "click": {"cli"},
}


def room(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else path.stem


def imported(source: str) -> set[str]:
    """Every absolute dotted name that the source imports, wherever it stands."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports hide where things come from"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


#: Modules that may import more, when they are called: results show themselves by the formats that know them.
EXCEPTIONS = {"results/display.py": {"pipeline", "report"}}


def violations(room_name: str, source: str, also: Set[str] = frozenset()) -> list[str]:
    found = []
    for name in imported(source):
        top, *rest = name.split(".")
        if top == "vggcalc" and rest and rest[0] in MAY_IMPORT:
            if rest[0] not in MAY_IMPORT[room_name] | {room_name} | also:
                found.append(f"{room_name} imports {name}")
        elif top in HEAVY and room_name not in HEAVY[top]:
            found.append(f"{room_name} imports {name}")
    return found


SOURCES = [path for path in sorted(PACKAGE.rglob("*.py")) if room(path) not in ("__init__", "__main__")]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path: Path) -> None:
    assert room(path) in MAY_IMPORT, "a new room needs a line in MAY_IMPORT"
    also = EXCEPTIONS.get(path.relative_to(PACKAGE).as_posix(), set())
    assert violations(room(path), path.read_text(encoding="utf-8"), also) == []


@pytest.mark.parametrize(
    ("where", "source"),
    [
        ("nets", "from vggcalc.results import Costs"),
        ("analysis", "import torch"),
        ("report", "def f():\n    from vggcalc.runtime import build"),
        ("cli", "import vggcalc.runtime.worker"),
        ("pipeline", "import scipy.stats"),
    ],
)
def test_the_check_can_fail(where: str, source: str) -> None:
    assert violations(where, source)
