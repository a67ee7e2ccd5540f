"""Writes tests/data/counters.json and traces.json.gz again: what the real counters report, and of which networks.

Run it where torchvision and the counters are installed: `python tests/record_counters.py`. The tests hold the
rules to these records everywhere, so that they need neither the counters nor torch.
"""

import contextlib
import gzip
import io
import json
import warnings
from functools import partial
from importlib.metadata import version
from pathlib import Path

import msgspec
import test_counters as live
import torch
from torch import nn

from vggcalc.analysis.comparison import analyze
from vggcalc.analysis.counters.rules import COUNTERS, reconcile
from vggcalc.nets.graph import Network
from vggcalc.runtime.trace.tracer import trace

DATA = Path(__file__).parent / "data"
PACKAGES = ("torch", "torchvision", "fvcore", "torchinfo", "ptflops", "thop", "calflops", "torchscan")
TORCHVISION = ("resnet18", "mobilenet_v2", "googlenet", "alexnet", "convnext_tiny")
SHAPE = (1, 3, 64, 64)


def torchvision_model(name: str) -> nn.Module:
    from torchvision import models

    extra = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    module: nn.Module = models.get_model(name, **extra)
    return module


def main() -> None:
    modules = {name: make for name, make in live.MODULES.items() if not name.startswith("vgg")}
    modules |= {f"torchvision {name}": partial(torchvision_model, name) for name in TORCHVISION}
    figures: dict[str, dict[str, dict[str, object]]] = {}
    networks: dict[str, Network] = {}
    for name, make in modules.items():
        with torch.device("meta"):
            networks[name] = trace(make(), SHAPE)
        variant = analyze(networks[name], name)
        figures[name] = {}
        for counter in live.REAL:
            try:
                with torch.no_grad(), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    reported = counter(make().eval())
            except Exception as error:
                print(name, counter.__name__, type(error).__name__, str(error)[:200])
                continue
            for key, figure in reported.items():
                found = reconcile(variant, key)
                figures[name][key] = {"figure": figure, "unsure": list(found.unsure)}
                if not found.unsure and found.total != figure:
                    print(name, key, figure, found.total)
        print(name, len(figures[name]), "of", len(COUNTERS))
        write(figures, networks)


def write(figures: dict[str, dict[str, dict[str, object]]], networks: dict[str, Network]) -> None:
    DATA.mkdir(exist_ok=True)
    versions = {name: version(name) for name in PACKAGES}
    text = json.dumps({"input": SHAPE, "versions": versions, "figures": figures}, indent=1)
    (DATA / "counters.json").write_text(text + "\n", encoding="utf-8")
    (DATA / "traces.json.gz").write_bytes(gzip.compress(msgspec.json.encode(networks), 9, mtime=0))


if __name__ == "__main__":
    main()
