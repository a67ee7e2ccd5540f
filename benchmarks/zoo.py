"""Every model of the installed libraries, traced: complete, partial or failed, against torch's FlopCounterMode.

Each is made without weights and traced in a process of its own, forked from one that has imported the libraries, with
limits on its time and memory. A line of JSON each goes to --output as soon as it is there, and a run that was ended
goes on after the lines that are there already. Both counters run on the meta device, in alternation and torch's first,
which runs once more than ours at the least; their time is the processor's, in one thread, the least of their runs.
What torch's counter cannot run there it counts with values, untimed. --page writes what all lines say as a page.

    pip install . torchvision timm segmentation-models-pytorch ultralytics transformers diffusers
    pip install open-clip-torch pytorchcv monai kornia
    python benchmarks/zoo.py --output zoo.jsonl --page zoo.md   # of a part: --only timm,torchvision, --at-most 40
"""

import argparse
import copy
import gc
import importlib
import importlib.util
import json
import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from itertools import zip_longest
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from revision import commit
from zoo_models import LIBRARIES, call, make, names, on_meta
from zoo_page import page


def attempt(record: dict[str, Any], prefix: str, count: Callable[[], Any]) -> Any:
    """What `count` gives, timed; the first line of what it raises goes into the record."""
    try:
        began = time.thread_time()  # a process's own has steps of 4 ms where its time is limited
        found = count()
        seconds = time.thread_time() - began
    except Exception as error:
        record[f"{prefix}error"] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        return None
    record[f"{prefix}s"] = min(seconds, record.get(f"{prefix}s", seconds))
    return found


def flops_of_values(module: Any, remade: Callable[[], Any], inputs: Any) -> int:
    """torch's count of the module itself, with the random input that a trace with values has."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from vggcalc.memory import free_bytes
    from vggcalc.runtime.inputs import arguments_of, own_dtype, random_values

    state = (*module.parameters(), *module.buffers())
    if sum(tensor.nbytes for tensor in state) > (free_bytes() or 0) / 2:
        raise MemoryError("too large for this machine")
    if any(tensor.is_meta for tensor in state):
        module = remade()[0].eval().requires_grad_(False)
    torch.backends.mha.set_fastpath_enabled(False)
    # Attention as its parts: torch's counter has no formula for the processor's fused kernel.
    with sdpa_kernel(SDPBackend.MATH), torch.inference_mode(), FlopCounterMode(display=False) as counter:
        called = arguments_of(inputs).with_values(
            random_values(module, torch.Generator().manual_seed(0)), own_dtype(module), torch.device("cpu")
        )
        module(*called.args, **called.kwargs)
    return int(counter.get_total_flops()) // 2


def one(library: str, name: str) -> dict[str, Any]:
    """The record of one model."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    import vggcalc
    from vggcalc.runtime.inputs import own_dtype
    from vggcalc.runtime.load.constructing import without_weights
    from vggcalc.runtime.trace.tracer import trace

    torch.set_num_threads(1)
    record: dict[str, Any] = {"model": f"{library}:{name}", "status": "not made"}
    made = attempt(record, "made_", lambda: without_weights(lambda: make(library, name)))
    if made is None:
        return record
    module, inputs = made[0].eval().requires_grad_(False), made[1]
    bare = attempt(record, "moved_", lambda: copy.deepcopy(module).to("meta"))

    def flops() -> int:
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            call(bare, on_meta(inputs, own_dtype(module)))
        return int(counter.get_total_flops()) // 2

    def remade() -> Any:
        torch.manual_seed(0)
        return make(library, name)

    record["status"], network = "failed", None
    began = time.thread_time()
    for turn in range(20):
        record["torch_macs"] = attempt(record, "torch_", flops)
        if turn and (record["trace_s"] < 1.4 * record["torch_s"] or time.thread_time() - began > 10):
            break
        network = attempt(record, "trace_", lambda: trace(module, inputs, with_weights=lambda: remade()[0]))
        if network is None or record["torch_macs"] is None or time.thread_time() - began > 10:
            break
    if record.get("torch_macs") is None:  # what cannot run without values is counted with them
        record["torch_macs"] = attempt(record, "run_", lambda: flops_of_values(module, remade, inputs))
    if network is None and record["torch_macs"] is None:
        record["status"] = "torch fails"
    if network is not None:
        (variant,) = vggcalc.summary(network).variants
        record |= {"macs": variant.macs, "parameters": variant.parameters, "operators": variant.partial.get("macs", ())}
        record["saved_lacks"] = variant.partial.get("saved_bytes", ())
        record["way"] = network.tracing.ran_with if network.tracing else ""
        record["torch_parameters"] = sum(parameter.numel() for parameter in module.parameters())
        record["status"] = "partial" if record["operators"] else "complete"
        if record["macs"] != record["torch_macs"]:
            of: dict[str, int] = {}
            for layer in variant.layers:
                of[layer.function or layer.type] = of.get(layer.function or layer.type, 0) + int(layer.macs or 0)
            record["macs_of"] = {function: macs for function, macs in of.items() if macs}
    return record


def send_one(model: str, limit_s: float, to: Connection) -> None:
    """In a process of its own: the record of a model, and nothing on the standard output."""
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_CPU, (int(limit_s), int(limit_s)))
    allowed = 10 * 2**30
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, allowed))
    to.send(one(*model.split(":", 1)))


def traced(model: str, limit_s: float) -> dict[str, Any]:
    """The record of one model, made in a process of its own."""
    forked = multiprocessing.get_context("fork")
    here, there = forked.Pipe(duplex=False)
    process = forked.Process(target=send_one, args=(model, limit_s, there))
    process.start()
    there.close()
    why = f"takes more than {limit_s:g} s of the processor"
    try:
        if here.poll(10 * limit_s):  # a machine may have other things to do
            record: dict[str, Any] = here.recv()
            process.join()
            return record
        process.kill()
        process.join()
    except EOFError:
        process.join()
        if process.exitcode not in (-signal.SIGXCPU, -signal.SIGKILL):
            why = f"ended with status {process.exitcode}"
    return {"model": model, "status": "failed", "trace_error": why}


def chosen(libraries: list[str], at_most: int | None) -> list[str]:
    """The models, those of the libraries in turn; of each library all, or the first ones, which are of many kinds."""
    lists = []
    for library in libraries:
        if importlib.util.find_spec(library) is None:
            print(f"{library} is not installed", file=sys.stderr)
            continue
        lists.append([f"{library}:{name}" for name in names(library)[:at_most]])
    return [model for turn in zip_longest(*lists) for model in turn if model is not None]


def import_all() -> None:
    """Import what every process forked from this one needs, and run it once."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    import vggcalc

    torch.set_num_threads(1)
    for library in LIBRARIES:
        if importlib.util.find_spec(library) is not None:
            importlib.import_module(library)
    with torch.device("meta"):
        small = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 3), torch.nn.BatchNorm2d(3)).eval().requires_grad_(False)
    with torch.inference_mode(), FlopCounterMode(display=False):
        small(torch.empty(1, 3, 8, 8, device="meta"))
    vggcalc.summary(small, (1, 3, 8, 8))
    gc.collect()
    gc.freeze()  # so that no forked process looks at all of this again


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("zoo.jsonl"))
    parser.add_argument("--page", type=Path, help="write the page there")
    parser.add_argument("--only", default=",".join(LIBRARIES), help="libraries, with commas")
    parser.add_argument("--at-most", type=int, metavar="N", help="N models of each library, one of each kind first")
    parser.add_argument("--models", nargs="*", help="these alone, once more, as library:name")
    parser.add_argument("--limit", type=float, default=300.0, help="seconds of the processor for one model")
    given = parser.parse_args()
    models = given.models if given.models is not None else chosen(given.only.split(","), given.at_most)
    lines = given.output.read_text(encoding="utf-8").splitlines() if given.output.exists() else []
    records = {record["model"]: record for record in map(json.loads, lines)}
    at = commit()
    import_all()
    with open(given.output, "a", encoding="utf-8") as file:
        for model in models:
            if model in records and given.models is None:
                continue
            records[model] = record = traced(model, given.limit) | {"commit": at}
            print(json.dumps(record), file=file, flush=True)
            print(record["status"], model, record.get("trace_error", ""), *record.get("operators", ()), flush=True)
    if given.page:
        given.page.write_text(page(list(records.values())), encoding="utf-8")


if __name__ == "__main__":
    main()
