"""benchmarks/learning.py: it runs, and its page says what its figures are."""

import json
import pickle
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest
import scipy.stats
import torch
from torch import nn

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


class Here(ThreadPoolExecutor):
    """In the place of a pool of processes: a call in a thread, pickled before and after."""

    def __init__(self, jobs: int, *_: object) -> None:
        super().__init__(jobs)

    def submit(self, call: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        sent = pickle.dumps((call, arguments, named))
        return super().submit(_called, sent)


def _called(sent: bytes) -> Any:
    call, arguments, named = pickle.loads(sent)
    return pickle.loads(pickle.dumps(call(*arguments, **named)))


@pytest.fixture(scope="module")
def learning() -> ModuleType:
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import learning
    finally:
        sys.path.remove(str(BENCHMARKS))
    return learning


def test_a_small_run_writes_page_figures_and_data(
    learning: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another process would do is done here, with what would go there and come back."""
    page = tmp_path / "learning.md"
    monkeypatch.setattr(learning, "ProcessPoolExecutor", Here)
    monkeypatch.setattr(sys, "argv", ["learning.py", "--small", "--output", str(page)])
    learning.main()
    found = json.loads(page.with_suffix(".json").read_text())
    (of_five,) = found["kernels"].values()
    first, last = 1 * 2 * 9 + 2, 2 * 3 * 3 * 10 + 10
    counts = {name: cost["parameters"] - first - last for name, cost in of_five["costs"].items()}
    assert counts == {"naive": 2 * (2 * 2 * 25 + 2)} | dict.fromkeys(("once", "linear", "stack"), 4 * (2 * 2 * 9 + 2))
    (naive, stack) = (of_five["costs"][name]["macs"] - 9 * 2 * 144 - 180 for name in ("naive", "stack"))
    assert (naive, stack) == (4 * 25 * (144 + 36), 2 * 4 * 9 * (144 + 36))
    for seed in of_five["seeds"]:
        assert seed["tuned"]["naive"]["0"] == seed["scratch"]["naive"]
        assert all(0 < energy <= 1 for energy in seed["energy"])
    text = page.read_text()
    (one,) = of_five["seeds"]
    assert f"{100 * (one['scratch']['stack'] - one['scratch']['naive']):+.2f}".replace("-", "−") in text
    assert "{" not in text
    assert ElementTree.parse(page.with_suffix(".svg")).getroot().tag.endswith("svg")
    (tmp_path / "again").mkdir()
    learning.write(found, tmp_path / "again/learning.md")
    assert (tmp_path / "again/learning.md").read_text() == text


def test_the_variants_differ_in_what_they_are_said_to(learning: ModuleType) -> None:
    """With the same seed all have the same first and last layer; without activations a stack is one convolution, and
    one that pads first is so at the edges too, where it sees zeros as anywhere else.
    """
    made = {name: learning.variant(name, 5, 3) for name in learning.VARIANTS}
    for module in made.values():
        learning.initialize(module, 7)
    for layer in (0, -1):
        assert all(torch.equal(one[layer].weight, made["naive"][layer].weight) for one in made.values())
    activations = {name: sum(isinstance(part, nn.ReLU) for part in one.modules()) for name, one in made.items()}
    assert activations == {"naive": 3, "once": 3, "linear": 3, "stack": 5}
    image = torch.randn(1, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        odd = {name: torch.allclose(one[2](-image), -one[2](image), atol=1e-5) for name, one in made.items()}
        within = nn.functional.pad(image, [4] * 4)  # zeros around it, as far as the window goes
        same = {
            name: torch.allclose(one[2](within)[..., 4:-4, 4:-4], one[2](image), atol=1e-5)
            for name, one in made.items()
        }
    assert odd == {"naive": True, "once": True, "linear": True, "stack": False}
    assert same == {"naive": True, "once": True, "linear": False, "stack": False}


def test_intervals_and_sentences(learning: ModuleType) -> None:
    import learning_page

    values = [0.1, 0.4, 0.35, 0.2]
    mean, low, high = learning_page.interval(values)
    assert (low, high) == pytest.approx(
        scipy.stats.t.interval(0.95, 3, loc=mean, scale=scipy.stats.sem(values)), rel=1e-12
    )
    assert learning_page.verdict((0.01, 0.002, 0.018)).startswith("higher")
    assert learning_page.verdict((-0.01, -0.02, -0.001)).startswith("lower")
    assert learning_page.verdict((-0.01, -0.02, 0.001)).startswith("no different")
    tuned = {"0": 0.5, "5": 0.896, "10": 0.88, "20": 0.9}
    found = {"seeds": [{"scratch": {"naive": 0.9}, "tuned": {"stack": tuned}}]}
    assert learning_page.back(found, "stack") == "it is back within half a point after 20 steps"
    tuned["20"] = 0.8
    assert learning_page.back(found, "stack") == "after 20 steps it is not back within half a point"
