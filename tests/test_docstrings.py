"""Every public name has a docstring, and the examples in the docstrings do what they show."""

import ast
import doctest
import inspect
from importlib import import_module
from pathlib import Path

import pytest

import vggcalc

pytestmark = pytest.mark.usefixtures("warm_workers")

PACKAGE = Path(vggcalc.__file__).parent

#: The modules whose source has an example.
EXAMPLES = sorted(
    ".".join(("vggcalc", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)

#: What is called or made by users, and so must say what it takes and raises by an example.
FUNCTIONS = [name for name in vggcalc.__all__ if inspect.isfunction(getattr(vggcalc, name))]


@pytest.mark.filterwarnings("ignore::vggcalc.library.measuring.MeasurementWarning")  # a loaded machine is warned of
@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_do_what_they_show(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = doctest.testmod(import_module(name), extraglobs={"vggcalc": vggcalc})
    assert found.attempted, "an example that is not found is not run"
    assert not found.failed


@pytest.mark.parametrize("name", [name for name in vggcalc.__all__ if name != "__version__"])
def test_public_names_have_docstrings(name: str) -> None:
    value = getattr(vggcalc, name)
    if callable(value):
        assert inspect.getdoc(value)
        assert inspect.getdoc(value) != inspect.getdoc(type(value).__mro__[1]), "inherited, so of something else"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_public_functions_have_an_example_and_say_what_they_raise(name: str) -> None:
    text = inspect.getdoc(getattr(vggcalc, name)) or ""
    assert "Raises" in text or "raises" in text
    assert ">>> " in text


@pytest.mark.parametrize("name", ["Comparison", "Variant", "Ratio", "Network", "Node"])
def test_public_methods_have_docstrings(name: str) -> None:
    for attribute, value in inspect.getmembers(getattr(vggcalc, name)):
        if not attribute.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
            assert inspect.getdoc(value), f"{name}.{attribute}"


def test_every_argument_of_the_factorizing_functions_is_documented() -> None:
    """In `factorize` itself; `compare` and `summary` may refer to it."""
    text = inspect.getdoc(vggcalc.factorize) or ""
    optional = set(inspect.signature(vggcalc.factorize).parameters) - {
        "in_channels",
        "out_channels",
        "batch",
        "stride",
        "dilation",
        "groups",
        "bias",
        "batch_norm",
        "activation",
    }  # torch's own arguments
    assert not [argument for argument in optional if f"{argument}:" not in text]


def test_the_table_of_names_is_what_type_checkers_see() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module != "typing"]
    seen = {
        alias.asname: (node.module or "").removeprefix("vggcalc.")
        for node in imports
        for alias in node.names
        if alias.asname == alias.name
    }
    assert seen == vggcalc._PLACES
    for name, module in vggcalc._PLACES.items():
        value = getattr(import_module(f"vggcalc.{module}"), name)
        assert getattr(vggcalc, name) is value
        assert getattr(value, "__module__", f"vggcalc.{module}") in (f"vggcalc.{module}", "builtins", "typing")
