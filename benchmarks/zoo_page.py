"""The page that benchmarks/zoo.py writes of its records."""

import platform
import re
from collections import Counter
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from statistics import median
from typing import Any

from zoo_models import LIBRARIES

#: The packages of the libraries, where they have another name.
PACKAGES = {"open_clip": "open_clip_torch", "segmentation_models_pytorch": "segmentation-models-pytorch"}

#: Operators that do MACs by vggcalc's definition and for which FlopCounterMode has no formula.
UNCOUNTED = ("mv", "addmv", "dot", "vdot", "bilinear", "deform_conv2d", "_grouped_mm", "_euclidean_dist")

Record = dict[str, Any]


def page(records: list[Record]) -> str:
    """The page: a row for each library, and each model that is not complete, fails, differs or takes long, by name."""
    by_library = {library: [one for one in records if one["model"].startswith(f"{library}:")] for library in LIBRARIES}
    commits = Counter(record["commit"] for record in records)
    run = [record for record in records if record["status"] in ("complete", "partial", "failed")]
    complete = sum(record["status"] == "complete" for record in run)
    partial, not_run = of(records, "partial"), [*of(records, "torch fails"), *of(records, "not made")]
    lines = [
        "# The zoo", "",
        f"What `benchmarks/zoo.py` found in {len(records)} models of {sum(map(bool, by_library.values()))} libraries, "
        "each made without pretrained weights, traced, and counted by torch's `FlopCounterMode` too, both on the meta "
        "device, one process a model. One model of each kind in a library (a file of its code, an architecture) comes "
        "first, then the second of each, as far as the run went. A model is complete where every operator that may do "
        "MACs has a formula; what torch itself cannot run on this machine is left out of the shares.", "",
        f"Of {len(run)} models that torch runs **{complete} are complete ({complete / max(len(run), 1):.1%})**.", "",
        f"Commit {', '.join(f'{name} ({n} models)' for name, n in commits.most_common())}; Python "
        f"{platform.python_version()}, {', '.join(versions())}.", "",
        *rows(by_library), "",
    ]  # fmt: skip
    for title, text, found in (
        ("Partial", "These operators have no formula.", [(r, ", ".join(r["operators"])) for r in partial]),
        ("Failed", "vggcalc has no count of them.", [(r, why(r)) for r in of(records, "failed")]),
        ("Not run by torch either", "Or not made, or too large to be run here.", [(r, why(r)) for r in not_run]),
        ("Other MACs than torch's counter", "", [(r, difference(r)) for r in records if differs(r)]),
        ("Tracing takes more than 1.5 times FlopCounterMode's time", "", [(r, times(r)) for r in records if slow(r)]),
    ):  # fmt: skip
        lines += [f"## {title}", "", *([text, ""] if text else []), *listed(found), ""]
    return "\n".join(lines).rstrip() + "\n"


def rows(by_library: dict[str, list[Record]]) -> list[str]:
    """The table: for each library how many there are of each status, how many differ, and how long tracing took."""
    statuses = ("complete", "partial", "failed", "torch fails", "not made")
    heads = ("library", "models", "complete", "partial", "failed", "torch fails", "not made", "MACs differ",
             "parameters differ", "ran on meta, fake, values", "time ratio: median, worst")  # fmt: skip
    lines = [f"| {' | '.join(heads)} |", "|" + " --- |" * len(heads)]
    for library, found in {**by_library, "all": list(chain(*by_library.values()))}.items():
        if found:
            ratios = sorted(ratio(record) for record in found if "torch_s" in record and "trace_s" in record)
            ran = [sum(record.get("way") == way for record in found) for way in ("meta", "fake", "values")]
            cells = [library, len(found), *(len(of(found, status)) for status in statuses),
                     f"{sum(map(differs, found))} of {sum(record.get('torch_macs') is not None for record in found)}",
                     sum(record["parameters"] != record["torch_parameters"] for record in found if "macs" in record),
                     ", ".join(map(str, ran)),
             f"{median(ratios):.2f}, {ratios[-1]:.2f}" if ratios else ""]  # fmt: skip
            lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


def of(records: list[Record], status: str) -> list[Record]:
    return [record for record in records if record["status"] == status]


def ratio(record: Record) -> float:
    return float(record["trace_s"] / record["torch_s"])


def slow(record: Record) -> bool:
    return "torch_s" in record and "trace_s" in record and ratio(record) > 1.5


def times(record: Record) -> str:
    return f"{record['trace_s']:.2f} s against {record['torch_s']:.2f} s, {ratio(record):.2f} times"


def differs(record: Record) -> bool:
    return record["status"] == "complete" and record["torch_macs"] not in (None, record["macs"])


def difference(record: Record) -> str:
    lacks = [function for function in record["macs_of"] if function in UNCOUNTED]
    explained = record["macs"] - sum(record["macs_of"][function] for function in lacks) == record["torch_macs"]
    because = f"torch counts no {', '.join(lacks)}" if explained else "**not explained**"
    return f"{record['macs']:,} against {record['torch_macs']:,}: {because}"


def why(record: Record) -> str:
    error = str(record.get("trace_error") or record.get("made_error"))
    return re.sub(r"/\S*/(?=site-packages/)", "", error)  # where the libraries are installed is the machine's own


def listed(found: list[tuple[Record, str]]) -> list[str]:
    return [f"- `{record['model']}`: {text}" for record, text in found] or ["None."]


def versions() -> list[str]:
    """The versions of torch and of the libraries that are installed."""
    names = []
    for library in ("torch", *LIBRARIES):
        try:
            names.append(f"{library} {version(PACKAGES.get(library, library))}")
        except PackageNotFoundError:
            continue
    return names
