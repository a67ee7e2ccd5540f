"""The blocks of a network as networks of their own, so that each can be timed on the feature map it meets there."""

from vggcalc.nets.graph import INPUT, Network, Node
from vggcalc.nets.layers import Convolution, MaxPool
from vggcalc.nets.shapes import shapes


def blocks(network: Network) -> dict[str, Network]:
    """Each block that has convolutions, without its poolings, on its own input size.

    A block that reads several nodes outside of it, or one within another block, is skipped.
    """
    known = shapes(network)
    members: dict[str, list[Node]] = {}
    for node in network.nodes:
        members.setdefault(node.block, []).append(node)
    found = {}
    for name, nodes in members.items():
        inner = [node for node in nodes if not isinstance(node.layer, MaxPool)]
        inside = {node.name for node in inner}
        sources = {source for node in inner for source in node.inputs if source not in inside}
        if len(sources) != 1 or not any(isinstance(node.layer, Convolution) for node in inner):
            continue
        (source,) = sources
        renamed = tuple(
            Node(node.name, node.layer, tuple(INPUT if s == source else s for s in node.inputs)) for node in inner
        )
        found[name] = Network(name, known[source], renamed)
    return found
