"""The rules of other counters against what the counters themselves reported: see record_counters.py."""

import gzip
import json
from functools import cache
from pathlib import Path

import msgspec
import pytest
from packaging.version import Version

from vggcalc.analysis.comparison import analyze
from vggcalc.analysis.counters.rules import COUNTERS, reconcile
from vggcalc.nets.graph import Network
from vggcalc.nets.sources import network
from vggcalc.results import Variant

DATA = Path(__file__).parent / "data"
RECORDS = json.loads((DATA / "counters.json").read_text(encoding="utf-8"))
FIGURES = [(name, counter) for name, counters in RECORDS["figures"].items() for counter in counters]


@cache
def networks() -> dict[str, Network]:
    return msgspec.json.decode(gzip.decompress((DATA / "traces.json.gz").read_bytes()), type=dict[str, Network])


@cache
def variant(name: str) -> Variant:
    return analyze(networks()[name], name)


@pytest.mark.parametrize(("name", "counter"), FIGURES)
def test_the_rule_gives_what_the_counter_reported(name: str, counter: str) -> None:
    recorded, found = RECORDS["figures"][name][counter], reconcile(variant(name), counter)
    assert list(found.unsure) == recorded["unsure"]
    if not found.unsure:
        assert found.total == recorded["figure"]
    assert found.total == found.factor * found.macs + sum(line.amount for line in found.lines)


def test_every_counter_that_can_be_run_is_recorded_in_the_version_that_its_rule_names() -> None:
    assert {counter for _, counter in FIGURES} == set(COUNTERS) - {"torchvision"}
    for counter, rule in COUNTERS.items():
        package = counter.partition("-")[0]
        if package in RECORDS["versions"] and package != "torch":
            assert Version(RECORDS["versions"][package]) == Version(rule.version)


def test_the_rules_are_established_for_nearly_all_that_is_recorded() -> None:
    unsure = [pair for pair in FIGURES if RECORDS["figures"][pair[0]][pair[1]]["unsure"]]
    assert len(unsure) < len(FIGURES) / 10


def test_who_counts_one_image_of_a_batch_is_unsure_of_two() -> None:
    two = analyze(network("vgg11", size=32, batch=2), "vgg11")
    unsure = {counter for counter in COUNTERS if reconcile(two, counter).unsure == ("batch ×2",)}
    assert unsure == {"ptflops", "ptflops-aten", "torchvision", "timm"}
    assert not any(reconcile(two, counter).unsure for counter in set(COUNTERS) - unsure)
