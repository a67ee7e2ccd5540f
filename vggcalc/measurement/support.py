"""What a machine supports, tried on a small network."""

import re
from collections.abc import Callable, Sequence

from vggcalc.errors import WorkerError
from vggcalc.measurement.host import Host
from vggcalc.measurement.limits import warm_up_timeout_s
from vggcalc.nets.graph import Network, chain
from vggcalc.nets.layers import (
    GELU,
    Convolution,
    Dropout,
    Flatten,
    Layer,
    Linear,
    LocalResponseNorm,
    ReLU,
    SiLU,
    in_axes,
)
from vggcalc.protocol import ProbeJob, Unsupported, WorkerInfo
from vggcalc.results import Comparison, Configuration


def tiny_network(comparisons: Sequence[Comparison]) -> Network:
    """A small network with every kind of layer that is to be timed, feature maps first and then vectors."""
    layers_of_all = [layer for c in comparisons for v in c.variants for layer in v.layers]
    kinds = {re.sub("[123]d$", "", layer.type) for layer in layers_of_all}
    dims = max((one.layer.axes for one in layers_of_all if isinstance(one.layer, Convolution)), default=2)
    small: dict[str, Layer] = {
        "BatchNorm": in_axes("BatchNorm", dims)(4),
        "LocalResponseNorm": LocalResponseNorm(),
        "ReLU": ReLU(),
        "GELU": GELU(),
        "SiLU": SiLU(),
        "MaxPool": in_axes("MaxPool", dims)(),
        "AdaptiveAvgPool": in_axes("AdaptiveAvgPool", dims)(2),
        "Flatten": Flatten(),
        "Dropout": Dropout(),
    }
    layers: list[Layer] = [in_axes("Conv", dims)(4, 4, 3, padding=1), *(small[k] for k in small if k in kinds)]
    if "Flatten" in kinds and "AdaptiveAvgPool" in kinds:
        layers.append(Linear(4 * 2**dims, 4))
    return chain("probe", (2, 4, *(8,) * dims), [("block1", layer) for layer in layers])


def refused_configurations(
    configurations: Sequence[Configuration],
    comparisons: Sequence[Comparison],
    note: Callable[[WorkerInfo], None],
    host: Host,
) -> dict[int, str]:
    """Which of the configurations cannot be run here, by their places, and why.

    The job holds nothing: where its worker dies it is tried once more.
    """
    job = ProbeJob(tuple(configurations), tiny_network(comparisons))

    def tried() -> dict[int, str]:
        refused = {}
        with host.start_worker(job, warm_up_timeout_s([])) as worker:
            for message in worker.messages():
                match message:
                    case WorkerInfo():
                        note(message)
                    case Unsupported():
                        refused[message.index] = message.reason
        return refused

    try:
        return tried()
    except WorkerError:
        return tried()
