"""The rooms of the house as docs/explanation/architecture.md describes them, held against the code."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Set
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import msgspec
import pytest

import vggcalc

PACKAGE = Path(vggcalc.__file__).parent
PAGE = (Path(__file__).parent.parent / "docs/explanation/architecture.md").read_text(encoding="utf-8")
SOURCES = {path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}


@cache
def trees() -> dict[str, ast.Module]:
    """Every module parsed, once there is a test that looks at it."""
    return {name: ast.parse(source) for name, source in SOURCES.items()}


def table(*heading: str) -> list[list[str]]:
    """The rows of the page's table that has this heading."""
    lines = PAGE[PAGE.index(f"| {' | '.join(heading)} |\n") :].splitlines()
    rows = []
    for line in lines[2:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def rooms(cell: str) -> set[str]:
    return set(cell.split(", ")) if cell else set()


#: Room → the rooms it may import beside itself.
MAY_IMPORT = {room: rooms(others) for room, others in table("room", "may import")}

#: What only some rooms may import.
HEAVY = {package: rooms(where) for package, where in table("package", "imported by")}

#: Module → rooms that it may import as well.
EXCEPTIONS = {
    module: rooms(others.replace(" and ", ", "))
    for module, others in re.findall(r"^`(\S+\.py)` may import ([\w, ]+?) too", PAGE, re.MULTILINE)
}

#: Words that only this project would understand, as names of functions, classes, fields and parameters.
CRYPTIC = {"asked", "crowded", "given", "heedless", "known", "look", "made", "said", "told"}


def room(module: str) -> str:
    return module.partition("/")[0].removesuffix(".py")


def imported(tree: ast.Module) -> set[str]:
    """Every absolute dotted name that the module imports, wherever it stands."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports hide where things come from"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def violations(room_name: str, tree: ast.Module, also: Set[str] = frozenset()) -> list[str]:
    found = []
    for name in imported(tree):
        top, *rest = name.split(".")
        if top == "vggcalc" and rest and rest[0] in MAY_IMPORT:
            if rest[0] not in MAY_IMPORT[room_name] | {room_name} | also:
                found.append(f"{room_name} imports {name}")
        elif top in HEAVY and room_name not in HEAVY[top]:
            found.append(f"{room_name} imports {name}")
    return found


def defined(tree: ast.Module) -> Iterator[str]:
    """The module's own top-level names: functions, classes, constants."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                names = target.elts if isinstance(target, ast.Tuple) else [target]
                yield from (name.id for name in names if isinstance(name, ast.Name))


def duplicates(trees: dict[str, ast.Module]) -> dict[str, list[str]]:
    """Name → the modules that define it, where there are several.

    These are the same thing in each: the package's public names, which stand once more in a command and in the room
    that does the work; the `render` of each format; and `main`, where a process begins, the parent's and the worker's.
    """
    where: defaultdict[str, list[str]] = defaultdict(list)
    for module, tree in trees.items():
        for name in set(defined(tree)):
            where[name].append(module)
    public = {"__all__", "main", "render", *vggcalc.__all__}
    return {name: found for name, found in where.items() if len(found) > 1 and name not in public}


def cryptic(tree: ast.Module) -> set[str]:
    """Names of functions, classes, their fields and parameters that are among CRYPTIC, underscores aside."""
    names: set[str] = set(defined(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ClassDef):
            fields = (field.target for field in node.body if isinstance(field, ast.AnnAssign))
            names |= {node.name, *(field.id for field in fields if isinstance(field, ast.Name))}
        elif isinstance(node, ast.arg):
            names.add(node.arg)
    return {name for name in names if name.strip("_").lower() in CRYPTIC}


ROOMS = [module for module in sorted(SOURCES) if module not in ("__init__.py", "__main__.py")]


@pytest.mark.parametrize("module", ROOMS)
def test_imports_go_one_way(module: str) -> None:
    assert room(module) in MAY_IMPORT, "a new room needs a line in the page's table"
    assert violations(room(module), trees()[module], EXCEPTIONS.get(module, set())) == []


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
def test_the_check_of_imports_can_fail(where: str, source: str) -> None:
    assert violations(where, ast.parse(source))


def test_the_page_lists_the_rooms_that_there_are() -> None:
    tree = re.search(r"^vggcalc/\n((?:  .*\n)+)", PAGE, re.MULTILINE)
    assert tree is not None
    listed = re.findall(r"^  (\S+)  ", tree[1], re.MULTILINE)
    there = [path.name for path in PACKAGE.glob("*.py")]
    there += [f"{path.name}/" for path in PACKAGE.iterdir() if (path / "__init__.py").exists()]
    assert sorted(listed) == sorted(there)
    assert set(MAY_IMPORT) == {room(module) for module in ROOMS}
    assert set(EXCEPTIONS) <= set(SOURCES)
    assert HEAVY["fvcore"] == {"runtime"}


@pytest.mark.parametrize(("thing", "place", "edit"), table("new…", "place", "edit"))
def test_what_the_page_says_to_edit_is_there(thing: str, place: str, edit: str) -> None:
    (name,) = re.findall(r"`(\w+)`", edit)
    assert name in set(defined(trees()[place.strip("`")])), thing


@pytest.mark.parametrize("module", [name for name, source in SOURCES.items() if source.count("\n") > 300])
def test_a_long_module_says_why(module: str) -> None:
    assert "300 lines" in (ast.get_docstring(trees()[module]) or "")


def test_a_name_stands_for_one_thing() -> None:
    assert duplicates(trees()) == {}


def test_the_check_of_names_can_fail() -> None:
    assert duplicates({"a.py": ast.parse("def f(): ..."), "b.py": ast.parse("f: int = 1")}) == {"f": ["a.py", "b.py"]}


@pytest.mark.parametrize("module", ROOMS)
def test_names_are_the_fields_words(module: str) -> None:
    assert cryptic(trees()[module]) == set()


@pytest.mark.parametrize("source", ["class Heedless: ...", "def f(told): ...", "class A:\n    given: int", "_made = 1"])
def test_the_check_of_words_can_fail(source: str) -> None:
    assert cryptic(ast.parse(source))


@pytest.mark.parametrize("folder", ["nets", "results", "measurement"])
def test_what_others_may_hold_is_frozen(folder: str) -> None:
    """Layers, networks, results and plans are values: nobody who holds one sees it change."""
    kinds = [
        kind
        for found in walk_packages([str(PACKAGE / folder)], f"vggcalc.{folder}.")
        for kind in vars(import_module(found.name)).values()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind.__module__ == found.name
    ]
    assert len(kinds) > 5
    assert [kind.__name__ for kind in kinds if not kind.__struct_config__.frozen] == []
