"""Every model of the installed libraries, traced: complete, partial or failed, against torch's FlopCounterMode.

Each is made without weights and traced in a process of its own, with a limit on its time. A line of JSON each goes to
--output as soon as it is there, and a run that was ended goes on after the lines that are there already. Both counters
run on the meta device, in alternation, three times, of which the later two count. What torch's counter cannot run there
it counts with values, untimed.

    pip install . torchvision timm segmentation-models-pytorch ultralytics transformers diffusers
    pip install open-clip-torch pytorchcv monai kornia
    python benchmarks/zoo.py --output zoo.jsonl --jobs 2     # of a part: --only timm,torchvision, --sample 40
"""

import argparse
import contextlib
import copy
import importlib.util
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from zoo_models import LIBRARIES, call, make, names, on_meta


def attempt(record: dict[str, Any], prefix: str, count: Callable[[], Any]) -> Any:
    """What `count` gives, timed; the first line of what it raises goes into the record."""
    try:
        began = time.perf_counter()
        found = count()
        seconds = time.perf_counter() - began
    except Exception as error:
        record[f"{prefix}error"] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        return None
    record[f"{prefix}s"] = min(seconds, record.get(f"{prefix}s", seconds))
    return found


def flops_of_values(module: Any, remade: Callable[[], Any], inputs: Any) -> int:
    """torch's count of the module itself, with the random input that a trace with values has."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from vggcalc.runtime.inputs import arguments_of, own_dtype, random_values

    if any(tensor.is_meta for tensor in (*module.parameters(), *module.buffers())):
        module = remade()[0].eval().requires_grad_(False)
    torch.backends.mha.set_fastpath_enabled(False)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        called = arguments_of(inputs).with_tensors(
            random_values(module, torch.Generator().manual_seed(0)), own_dtype(module)
        )
        module(*called.args, **called.kwargs)
    return int(counter.get_total_flops()) // 2


def one(library: str, name: str) -> dict[str, Any]:
    """The record of one model."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    import vggcalc
    from vggcalc.runtime.load.constructing import without_weights

    torch.set_num_threads(1)
    record: dict[str, Any] = {"model": f"{library}:{name}", "status": "not made"}
    made = attempt(record, "made_", lambda: without_weights(lambda: make(library, name)))
    if made is None:
        return record
    module, inputs = made[0].eval().requires_grad_(False), made[1]
    bare = attempt(record, "moved_", lambda: copy.deepcopy(module).to("meta"))

    def flops() -> int:
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            call(bare, on_meta(inputs))
        return int(counter.get_total_flops()) // 2

    def trace() -> Any:
        return vggcalc.trace(module, inputs)

    record["status"], network = "failed", None
    for turn in range(3):
        if turn == 1:  # the first turn was to warm up
            record.pop("torch_s", None), record.pop("trace_s")
        record["torch_macs"] = attempt(record, "torch_", flops)
        network = attempt(record, "trace_", trace)
        if network is None and turn == 0:  # what was made without values may need them
            module = (attempt(record, "remade_", lambda: make(library, name)) or made)[0].eval()
            network = attempt(record, "trace_", trace)
        if network is None or record["trace_s"] > 20:
            break
    if network is not None and record.get("torch_macs") is None:  # what cannot run without values is counted with them
        again = partial(make, library, name)
        record["torch_macs"] = attempt(record, "run_", lambda: flops_of_values(module, again, inputs))
    if network is not None:
        (variant,) = vggcalc.summary(network).variants
        record |= {"macs": variant.macs, "parameters": variant.parameters, "operators": variant.partial.get("macs", ())}
        record["torch_parameters"] = sum(parameter.numel() for parameter in module.parameters())
        record["status"] = "partial" if record["operators"] else "complete"
    return record


def traced(model: str, limit_s: float) -> dict[str, Any]:
    """The record of one model, made in a process of its own."""
    command = [sys.executable, __file__, "--model", model]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False)
        record: dict[str, Any] | None = json.loads(done.stdout) if done.returncode == 0 else None
        why = f"ended with status {done.returncode}"
    except subprocess.TimeoutExpired:
        record, why = None, f"took more than {limit_s:g} s"
    return record or {"model": model, "status": "failed", "trace_error": why}


def table(records: list[dict[str, Any]]) -> None:
    """For each library how many there are of each status, how many differ from torch, and how long tracing took."""
    statuses = ("complete", "partial", "failed", "not made")
    heads = ("library", "models", *statuses, "MACs differ", "parameters differ", "time ratio: median, worst")
    print("\n|", " | ".join(heads), "|\n" + "|---" * len(heads) + "|")
    for library in [*LIBRARIES, ""]:
        of = [record for record in records if record["model"].startswith(library)]
        whole = [record for record in of if record["status"] == "complete" and record.get("torch_macs") is not None]
        ratios = sorted(record["trace_s"] / record["torch_s"] for record in whole if "torch_s" in record)
        cells = [library or "all", len(of), *(sum(one["status"] == status for one in of) for status in statuses)]
        cells.append(sum(one["macs"] != one["torch_macs"] for one in whole))
        cells.append(sum(one["parameters"] != one["torch_parameters"] for one in of if "parameters" in one))
        cells.append(f"{median(ratios):.2f}, {ratios[-1]:.2f}" if ratios else "")
        if of:
            print("|", " | ".join(map(str, cells)), "|")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("zoo.jsonl"))
    parser.add_argument("--only", default=",".join(LIBRARIES), help="libraries, with commas")
    parser.add_argument("--sample", type=int, help="so many models of all, drawn at random")
    parser.add_argument("--limit", type=float, default=300.0, help="seconds for one model")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--model", help=argparse.SUPPRESS)  # what a process of its own is asked for
    given = parser.parse_args()
    if given.model:
        with contextlib.redirect_stdout(sys.stderr):  # what the libraries print
            record = one(*given.model.split(":", 1))
        print(json.dumps(record))
        return
    models = []
    for library in given.only.split(","):
        if importlib.util.find_spec(library) is None:
            print(f"{library} is not installed", file=sys.stderr)
            continue
        models += [f"{library}:{name}" for name in names(library)]
    if given.sample:
        models = random.Random(0).sample(models, min(given.sample, len(models)))
    lines = given.output.read_text(encoding="utf-8").splitlines() if given.output.exists() else []
    records = [json.loads(line) for line in lines]
    left = [model for model in models if model not in {record["model"] for record in records}]
    with open(given.output, "a", encoding="utf-8") as file, ThreadPoolExecutor(given.jobs) as pool:
        for done in as_completed([pool.submit(traced, model, given.limit) for model in left]):
            records.append(record := done.result())
            print(json.dumps(record), file=file, flush=True)
            print(record["status"], record["model"], record.get("trace_error", ""), *record.get("operators", ()))
    table([record for record in records if record["model"] in set(models)])


if __name__ == "__main__":
    main()
