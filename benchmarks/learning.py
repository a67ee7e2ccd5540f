"""What a stack of 3×3s learns, beside the large kernel in whose place it stands: accuracy over seeds.

Trains small networks on scikit-learn's digits, resized to 12×12: with 5×5 convolutions against two 3×3s each, with 7×7s
against three, and these with and without the activations between them, and with all padding in the first of them, from
the same split of the data, the same weights around them, batches, schedule and steps for each seed. Then every trained
network with large kernels is rewritten by `vggcalc.rewrite(…, fit=True)`, and the result trained on. Parameters and
MACs are vggcalc's, and so is the time. Writes docs/benchmarks/learning.md, with every seed's accuracy in a JSON file
and a figure beside it.

    pip install . -r benchmarks/requirements.txt
    OMP_NUM_THREADS=1 python benchmarks/learning.py                  # 20 seeds; most of the time goes into fits
    python benchmarks/learning.py --small --output /tmp/learning.md  # does it run? seconds, no result
    python benchmarks/learning.py --again                            # page and figure anew, of what a run has left
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from typing import Any, Literal, cast

import sklearn
import torch
from learning_page import write
from revision import commit
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate

import vggcalc
from vggcalc import Factorization

PAGE = Path(__file__).parent.parent / "docs/benchmarks/learning.md"
SIZE, CLASSES, TRAINED_ON = 12, 10, 897
#: Rates of Adam that are tried on other seeds before: the peak of the schedule from scratch.
RATES, TRIED_ON = (0.003, 0.01, 0.02), range(1000, 1002)
#: By how much smaller the rate is when a fitted network is trained on; it stays the same throughout.
SMALLER = 5
#: What may stand where the large kernels are: themselves, or stacks of these kinds.
STACKS = {
    "once": Factorization("stack", pad_at="first", between="nothing"),
    "linear": Factorization("stack", between="nothing"),
    "stack": Factorization("stack"),
}
VARIANTS = ("naive", *STACKS)


def digits() -> tuple[Tensor, Tensor]:
    """All 1797 images, (1797, 1, 12, 12) with mean 0 and deviation 1, and what they show."""
    found = load_digits()
    images = interpolate(torch.tensor(found.images, dtype=torch.float32)[:, None], size=SIZE, mode="bilinear")
    return (images - images.mean()) / images.std(), torch.tensor(found.target)


def naive(kernel: int, channels: int) -> nn.Sequential:
    """A 3×3, and two large convolutions at 12×12 and 6×6."""
    large = [nn.Conv2d(channels, channels, kernel, padding=kernel // 2) for _ in range(2)]
    return nn.Sequential(
        *(nn.Conv2d(1, channels, 3, padding=1), nn.ReLU()),
        *(large[0], nn.ReLU(), nn.MaxPool2d(2)),
        *(large[1], nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(channels * (SIZE // 4) ** 2, CLASSES)),
    )


def factorized(module: nn.Module, name: str, fit: bool) -> nn.Module:
    """The network with stacks in place of its large kernels; with `fit` their weights are nearest to its own."""
    return vggcalc.rewrite(module, (1, 1, SIZE, SIZE), into=STACKS[name], fit=fit)


def variant(name: str, kernel: int, channels: int) -> nn.Module:
    module = naive(kernel, channels)
    return module if name == "naive" else factorized(module, name, fit=False)


def initialize(module: nn.Module, seed: int) -> None:
    """He's normal initialization (2015, arXiv 1502.01852), whose gain knows whether a ReLU follows; biases are 0.

    Torch's own lets signals fade in what is deeper. First and last layer come first, and are the same in all variants.
    """
    torch.manual_seed(seed)
    layers = [part for part in module.modules() if isinstance(part, nn.Conv2d | nn.Linear | nn.ReLU)]
    gains: list[tuple[nn.Conv2d | nn.Linear, Literal["relu", "linear"]]] = [
        (layer, "relu" if isinstance(after, nn.ReLU) else "linear")
        for layer, after in zip(layers, [*layers[1:], None], strict=True)
        if not isinstance(layer, nn.ReLU)
    ]
    for layer, gain in (gains[0], gains[-1], *gains[1:-1]):
        nn.init.kaiming_normal_(layer.weight, nonlinearity=gain)
        assert layer.bias is not None
        nn.init.zeros_(layer.bias)


class Task:
    """One seed's split of the digits, and its order of batches."""

    def __init__(self, images: Tensor, labels: Tensor, seed: int, batch: int) -> None:
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
        images = images.to(memory_format=torch.channels_last)
        self.seed, self._batch = seed, batch
        self._images, self._labels = images[order[:TRAINED_ON]], labels[order[:TRAINED_ON]]
        self._unseen = images[order[TRAINED_ON:]], labels[order[TRAINED_ON:]]

    def accuracy(self, module: nn.Module) -> float:
        """On the images that are not trained on."""
        images, labels = self._unseen
        with torch.no_grad():
            right = sum(
                int((module(some).argmax(1) == wanted).sum())
                for some, wanted in zip(images.split(100), labels.split(100), strict=True)
            )
        return right / len(labels)

    def train(self, module: nn.Module, steps: int, rate: float, cycle: bool) -> Iterator[int]:
        """Train the module; after each step its number. With `cycle` the rate rises and falls, else it stays."""
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        generator = torch.Generator().manual_seed(self.seed + cycle)
        optimizer = torch.optim.Adam(module.parameters(), rate, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps) if cycle else None
        for step in range(1, steps + 1):
            chosen = torch.randint(TRAINED_ON, (self._batch,), generator=generator)
            optimizer.zero_grad()
            cross_entropy(module(self._images[chosen]), self._labels[chosen]).backward()
            optimizer.step()
            if schedule is not None:
                schedule.step()
            yield step


def from_scratch(task: Task, name: str, kernel: int, channels: int, steps: int, rate: float) -> tuple[nn.Module, float]:
    """A variant trained from scratch, and its accuracy."""
    module = variant(name, kernel, channels)
    initialize(module, task.seed)
    for _ in task.train(module, steps, rate, cycle=True):
        pass
    return module, task.accuracy(module)


def all_from_scratch(task: Task, kernel: int, given: argparse.Namespace, rate: float) -> tuple[dict[str, float], Any]:
    """The accuracies of one seed, and what the network with large kernels has learned, as a state dict."""
    trained = {name: from_scratch(task, name, kernel, given.channels, given.steps, rate) for name in VARIANTS}
    return {name: accuracy for name, (_, accuracy) in trained.items()}, trained["naive"][0].state_dict()


def from_trained(task: Task, kernel: int, given: argparse.Namespace, rate: float, learned: Any) -> dict[str, Any]:
    """Of one seed the share of the kernels' energy that a fit explains, and the accuracies at each checkpoint."""
    trained = naive(kernel, given.channels)
    trained.load_state_dict(learned)
    fitted = factorized(trained, "linear", fit=True)
    weights = fitted.state_dict().values()  # the same of all stacks: the fit knows neither of activations nor of edges
    tuned: dict[str, dict[int, float]] = {}
    for name in VARIANTS:
        module = variant(name, kernel, given.channels)
        own = module.state_dict()
        module.load_state_dict(learned if name == "naive" else dict(zip(own, weights, strict=True)))
        tuned[name] = {0: task.accuracy(module)}
        for step in task.train(module, max(given.checkpoints), rate / SMALLER, cycle=False):
            if step in given.checkpoints:
                tuned[name][step] = task.accuracy(module)
    return {"energy": [layer.energy for layer in cast(Any, fitted).fitted], "tuned": tuned}


def tried_rates(pool: Executor, tasks: list[Task], given: argparse.Namespace) -> dict[float, dict[str, float]]:
    """The mean accuracy of each network from scratch by the rate, on seeds that are used for nothing else."""
    asked = {
        (rate, kernel, name): [
            pool.submit(from_scratch, task, name, kernel, given.channels, given.steps, rate) for task in tasks
        ]
        for kernel in given.kernels
        for rate in RATES
        for name in VARIANTS
    }
    found: dict[float, dict[str, float]] = {rate: {} for rate in RATES}
    for (rate, kernel, name), runs in asked.items():
        found[rate][f"{kernel} {name}"] = fmean(run.result()[1] for run in runs)
    return found


def costs(kernel: int, channels: int, batch: int, budget: float) -> dict[str, Any]:
    """Of each variant parameters and MACs of an image, and with a budget its time by that of the large kernels."""
    modules = [variant(name, kernel, channels) for name in VARIANTS]
    compared = vggcalc.compare(*modules, names=VARIANTS, inputs=(batch, 1, SIZE, SIZE))
    found: dict[str, dict[str, Any]] = {
        name: {"parameters": compared[name].parameters, "macs": int(compared[name].macs or 0) // batch}
        for name in VARIANTS
    }
    if budget:
        measured = vggcalc.measure(compared, budget, device="cpu", mode=["training", "inference"])
        for name in STACKS:
            for one in measured.ratio(name).latency:
                found[name][one.mode] = {"ratio": one.ratio, "ci95": one.ci95}
    return found


def run(given: argparse.Namespace, data: Path) -> None:
    """Write all results to the JSON file `data`, and from then on what is there after every seed."""
    began = time.time()
    images, labels = digits()
    measured = {str(kernel): costs(kernel, given.channels, given.batch, given.budget) for kernel in given.kernels}

    def say(text: str) -> None:
        print(f"{time.time() - began:.0f} s: {text}", file=sys.stderr, flush=True)

    with ProcessPoolExecutor(given.jobs, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        tried = tried_rates(pool, [Task(images, labels, seed, given.batch) for seed in TRIED_ON], given)
        rate = max(RATES, key=lambda one: sum(tried[one].values()))
        say(f"rate {rate} of {tried}")
        found: dict[str, Any] = {
            "commit": commit(),
            "date": time.strftime("%Y-%m-%d"),
            "versions": {
                "vggcalc": vggcalc.__version__,
                "torch": torch.__version__,
                "scikit-learn": sklearn.__version__,
                "Python": platform.python_version(),
            },
            "settings": {
                **{name: getattr(given, name) for name in ("seeds", "steps", "channels", "batch", "small", "jobs")},
                "size": SIZE,
                "trained_on": TRAINED_ON,
                "tested_on": len(images) - TRAINED_ON,
            },
            "tried": tried,
            "rate": rate,
            "tuning_rate": rate / SMALLER,
            "kernels": {kernel: {"costs": of, "seeds": []} for kernel, of in measured.items()},
        }

        def save(text: str) -> None:
            found["seconds"] = round(time.time() - began)
            data.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
            say(text)

        tasks = [
            (Task(images, labels, seed, given.batch), kernel) for seed in range(given.seeds) for kernel in given.kernels
        ]
        first = [pool.submit(all_from_scratch, *task, given, rate) for task in tasks]
        learned = []
        for (task, kernel), run_of_seed in zip(tasks, first, strict=True):
            scratch, state = run_of_seed.result()
            learned.append(state)
            found["kernels"][str(kernel)]["seeds"].append({"scratch": scratch})
            save(f"seed {task.seed}, {kernel}×{kernel} from scratch")
        second = [
            pool.submit(from_trained, *task, given, rate, state) for task, state in zip(tasks, learned, strict=True)
        ]
        for (task, kernel), fitted in zip(tasks, second, strict=True):
            found["kernels"][str(kernel)]["seeds"][task.seed] |= fitted.result()
            save(f"seed {task.seed}, {kernel}×{kernel} fitted")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=PAGE, help="the page; .json and .svg stand beside it")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--kernels", type=int, nargs="+", default=[5, 7])
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=200, help="of training from scratch")
    parser.add_argument("--checkpoints", type=int, nargs="+", default=[5, 10, 20, 50, 100, 200], help="of training on")
    parser.add_argument(
        "--budget", type=float, default=40.0, help="seconds to time the variants of one kernel; 0: none"
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    parser.add_argument("--small", action="store_true", help="one seed, few steps, no times: does it run?")
    parser.add_argument("--again", action="store_true", help="write the page and figure of the JSON file that is there")
    given = parser.parse_args()
    if given.small:
        given.seeds, given.kernels, given.channels, given.steps, given.checkpoints, given.budget = (
            1,
            [5],
            2,
            3,
            [1, 2],
            0,
        )
    torch.set_num_threads(1)
    data = given.output.with_suffix(".json")
    if not given.again:
        run(given, data)
    write(json.loads(data.read_text(encoding="utf-8")), given.output)


if __name__ == "__main__":
    main()
