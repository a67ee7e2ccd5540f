"""The example notebook runs, and what it shows there are tables and figures."""

import json
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parent.parent / "examples/notebook.ipynb"


@pytest.fixture(scope="module")
def outputs() -> dict[str, dict[str, str]]:
    """What each cell of code that shows something shows, by its kind, after a run in a kernel of its own."""
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    pytest.importorskip("pandas")
    pytest.importorskip("matplotlib.font_manager")  # makes its cache here, since it would say so there
    notebook = nbformat.read(NOTEBOOK, 4)
    resources = {"metadata": {"path": str(NOTEBOOK.parent)}}
    nbclient.NotebookClient(notebook, timeout=600, startup_timeout=600, resources=resources).execute()
    shown: dict[str, dict[str, str]] = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            assert output.output_type == "execute_result", output
            shown[cell.source.splitlines()[-1]] = dict(output.data)
    return shown


def test_results_are_tables_and_figures(outputs: dict[str, dict[str, str]]) -> None:
    for last, inside in {
        "seven": ("<table", "629,407,744", 'class="drawing'),
        "vgg": ("<table", "15,470,264,320", 'class="drawing'),
        "comparison": ("<table", "7×7"),
        'seven.plot(figure="coverage")': ("<svg", "Coverage of the 7×7 window"),
        'vgg.plot(figure="blocks", width=150)': ("<svg", "Costs of vgg16, block by block"),
    }.items():
        assert all(part in outputs[last]["text/html"] for part in inside), last
        assert len(outputs[last]["text/plain"].splitlines()) == 1
    counts = 'seven["factorized"].macs, seven["naive"].macs, seven.ratio("factorized").macs'
    assert outputs[counts]["text/plain"] == "(346816512, 629407744, 0.5510204081632653)"
    assert outputs["vggcalc.rewrite(model, (1, 3, 64, 64))"]["text/plain"].count("kernel_size=(3, 3)") == 5


def test_it_is_kept_without_outputs() -> None:
    """They would be out of date with the next table."""
    cells = [cell for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert cells
    assert not any(cell["outputs"] or cell["execution_count"] for cell in cells)
