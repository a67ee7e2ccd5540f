"""Which activations are alive at once in inference."""

from collections.abc import Container, Mapping
from math import prod

from vggcalc.nets.graph import INPUT, Network
from vggcalc.nets.layers import Shape, is_view


def liveness(network: Network, shapes: Mapping[str, Shape], in_place: Container[str]) -> list[int]:
    """Elements alive while each node runs: its inputs, its output and what later nodes still read.

    `in_place` are the names of the activations that overwrite their input. A tensor dies after its
    last reader, the image too. An activation that runs in place, a view and dropout put out the
    tensor that they read.
    """
    storage: dict[str, str] = {INPUT: INPUT}
    last_read: dict[str, int] = {INPUT: -1}
    for i, node in enumerate(network.nodes):
        shares = is_view(node.layer) or node.name in in_place
        storage[node.name] = storage[node.inputs[0]] if shares and node.inputs else node.name
        for name in (*node.inputs, node.name):
            last_read[storage[name]] = i
    dying: dict[int, list[str]] = {}
    for name, i in last_read.items():
        dying.setdefault(i, []).append(name)
    alive, counts = prod(shapes[INPUT]), []
    for i, node in enumerate(network.nodes):
        if storage[node.name] == node.name:
            alive = alive + prod(shapes[node.name])
        counts.append(alive)
        alive = alive - sum(prod(shapes[name]) for name in dying.get(i, ()))
    return counts
