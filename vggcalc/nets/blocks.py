"""The blocks of a network as networks of their own, so that each can be timed where it stands."""

from vggcalc.nets.graph import INPUT, Network, Node
from vggcalc.nets.layers import Conv2d, MaxPool2d
from vggcalc.nets.shapes import shapes


def blocks(network: Network) -> dict[str, Network]:
    """Each block that has convolutions, without its poolings, on the map that it meets.

    A block that reads from several nodes outside of it, or from within another, is left out.
    """
    known = shapes(network)
    members: dict[str, list[Node]] = {}
    for node in network.nodes:
        members.setdefault(node.block, []).append(node)
    found = {}
    for name, nodes in members.items():
        kept = [node for node in nodes if not isinstance(node.layer, MaxPool2d)]
        inside = {node.name for node in kept}
        sources = {source for node in kept for source in node.inputs if source not in inside}
        if len(sources) != 1 or not any(isinstance(node.layer, Conv2d) for node in kept):
            continue
        (source,) = sources
        renamed = tuple(
            Node(node.name, node.layer, tuple(INPUT if s == source else s for s in node.inputs)) for node in kept
        )
        found[name] = Network(name, known[source], renamed)
    return found
