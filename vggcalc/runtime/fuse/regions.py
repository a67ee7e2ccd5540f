"""The linear regions of a traced graph: what between two of its tensors is one convolution.

A layer that slides (a convolution, a norm with running statistics, an average pooling), a factor for each channel, and
a sum or difference of two are affine, and so is what they make together. Each node is known as such a map of every node
before it that it is affine in, and of these regions those are taken that save the most MACs. For that kernels need no
values, only their shapes.
"""

from collections.abc import Iterable, Mapping
from math import prod

import msgspec
from torch import fx, nn

from vggcalc.errors import InputError
from vggcalc.runtime.fuse.affine import Affine
from vggcalc.runtime.fuse.parts import Part, axes_of, identity, memory_of, overwrites, part_of, shape_of

#: A node is looked at as a map of no more of those before it: longer linear chains are fused in parts.
MOST_SOURCES = 24


class Region(msgspec.Struct, frozen=True):
    """The nodes `members`, of which `output` is the last, as one map of `source`.

    `kernels` are the names of their weights, one at least; `saved` is how many MACs fewer one does, 0 or more.
    """

    source: fx.Node
    output: fx.Node
    members: tuple[fx.Node, ...]
    map: Affine
    kernels: tuple[str, ...]
    saved: int


def compose(region: Region, root: nn.Module, device: str) -> Affine:
    """The region's map with the weights that its layers have in `root`."""
    known = {region.source: identity(region.source, device)}
    for node in region.members:
        part = part_of(node, root, device)
        assert part is not None
        known[node] = part.behind([known[one] for one in part.inputs], node.name)
    return known[region.output]


class Regions:
    """The regions of a graph that knows the shapes of its tensors; `root`, on the meta device, has its modules."""

    def __init__(self, graph: fx.Graph, root: nn.Module) -> None:
        self._order = {node: i for i, node in enumerate(graph.nodes)}
        self._parts = {node: part for node in graph.nodes if (part := part_of(node, root, "meta")) is not None}
        self._written = [
            (self._order[node], memory_of(one))
            for node in graph.nodes
            if overwrites(node, root)
            for one in node.all_input_nodes
        ]
        self._maps = _maps(graph, self._parts)

    def chosen(self, exact: bool = True) -> list[Region]:
        """Those to fuse, none of which overlaps another, in the order of their outputs.

        A region's convolution does no more MACs and has no more weights than its parts, and nothing else reads what is
        made within. With `exact` it equals them everywhere, at the edges too.
        """
        found: list[Region] = []
        covered: set[fx.Node] = set()
        for output in reversed(self._order):
            fitting = [
                one
                for one in self._ending_in(output)
                if covered.isdisjoint(one.members) and not (exact and max(one.map.border))
            ]
            if fitting:
                best = max(fitting, key=lambda region: (region.saved, len(region.members)))
                found.append(best)
                covered.update(best.members)
        return found[::-1]

    def forgone(self) -> list[Region]:
        """Those that would save more MACs, or hold more layers, than what is exact, and differ at a border alone."""
        exact = self.chosen()

        def instead(region: Region) -> tuple[int, int]:
            overlapping = [one for one in exact if not set(region.members).isdisjoint(one.members)]
            return sum(one.saved for one in overlapping), sum(len(one.members) for one in overlapping)

        wanted = (one for one in self.chosen(exact=False) if max(one.map.border))
        return [one for one in wanted if (one.saved, len(one.members)) > instead(one)]

    def _ending_in(self, output: fx.Node) -> list[Region]:
        """Every region with that output."""
        found = []
        for source, (one, members) in self._maps[output].items():
            if not _stands_alone(members, output, self._parts) or self._is_overwritten(source, members):
                continue
            batch, _, *sizes = shape_of(output)
            weights = one.kernel.numel()
            saved = sum(self._parts[node].macs for node in members) - weights * batch * prod(sizes)
            if saved >= 0 and weights <= sum(self._parts[node].weights for node in members):
                ordered = sorted(members, key=self._order.__getitem__)
                kernels = tuple(self._parts[node].place for node in ordered if self._parts[node].macs)
                found.append(Region(source, output, tuple(ordered), one, kernels, saved))
        return found

    def _is_overwritten(self, source: fx.Node, members: Iterable[fx.Node]) -> bool:
        """Whether what a member reads is changed before it could be read in one convolution's stead.

        That is of the source, or a view of it, from where it is first read to where the output is made, and of what
        another member makes from there to where it is read, which may be by another name.
        """
        order = {node: self._order[node] for node in members}
        periods = [(source, min(order.values()), max(order.values()) + 1)]
        periods += [(made, order[made] + 1, order[user]) for made in order for user in made.users if user in order]
        return any(
            first <= at < end and memory == memory_of(made)
            for made, first, end in periods
            for at, memory in self._written
        )


_Maps = dict[fx.Node, tuple[Affine, frozenset[fx.Node]]]


def _maps(graph: fx.Graph, parts: Mapping[fx.Node, Part]) -> dict[fx.Node, _Maps]:
    """For each node those that it is an affine map of, nearest first: the map, and the nodes that make it."""
    found: dict[fx.Node, _Maps] = {}
    for node in graph.nodes:
        own: _Maps = {node: (identity(node, "meta"), frozenset())} if axes_of(node) else {}
        part = parts.get(node)
        if part is None:
            found[node] = own
            continue
        for source in found[part.inputs[0]]:
            before = [found[one][source] for one in part.inputs if source in found[one]]
            if len(before) < len(part.inputs) or len(own) > MOST_SOURCES:
                continue
            try:
                one = part.behind([one for one, _ in before], node.name)
            except InputError:  # a sum of maps of different strides, which torch adds where their sizes agree
                continue
            own[source] = one, frozenset((node,)).union(*(members for _, members in before))
        found[node] = own
    return found


def _stands_alone(members: Iterable[fx.Node], output: fx.Node, parts: Mapping[fx.Node, Part]) -> bool:
    """Whether there is more than one layer, and nothing outside reads what is made within."""
    within = set(members)
    several = sum(not parts[node].passes_on for node in within) > 1
    return several and all(user in within for node in within if node is not output for user in node.users)
