"""A whole network with each of its linear regions as one convolution: norms folded in, parallel branches added up.

A plain chain of layers is fused where it stands: a convolution takes the place of its last one, and `Identity` that of
the other layers. Branches that are added in some module's `forward` become one only where that is written anew: such a
module, the smallest that holds them, becomes a `torch.fx.GraphModule`. What torch.fx cannot show is left as it is.
"""

import copy
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile
from typing import NamedTuple

from torch import Tensor, fx, nn

from vggcalc.nets.graph import Unfused
from vggcalc.runtime.build import with_module
from vggcalc.runtime.fuse.fuse import convolution_of, plain_convolution_of
from vggcalc.runtime.fuse.graphs import Calls, without_values
from vggcalc.runtime.fuse.parts import constant_of
from vggcalc.runtime.fuse.regions import Region, Regions, compose
from vggcalc.runtime.inputs import Arguments


class FusedNetwork(NamedTuple):
    """The module, for inference, and the linear parts of it that stayed because one convolution would not be exact."""

    module: nn.Module
    unfused: tuple[Unfused, ...]


def fuse_network(module: nn.Module, arguments: Arguments, exact: bool = True) -> FusedNetwork:
    """A copy of a module, for inference, with each linear region as one convolution; it is called with `arguments`.

    With `exact` only what is equal everywhere is fused, and what is not is reported; else also what differs at the
    border of its own feature map, where a layer within pads zeros. Raises `InputError` for one that cannot be run.
    """
    new = copy.deepcopy(module).eval()
    bare = without_values(new)
    calls = Calls(new, bare, arguments)
    unfused: list[Unfused] = []
    for path, graph in list(calls.graphs()):
        regions = Regions(graph, bare.get_submodule(path))
        if exact:
            unfused += [Unfused(_name(one, path), one.map.kernel_size, one.map.border) for one in regions.forgone()]
        anew: list[str] = []
        for region in regions.chosen(exact):
            if _is_chain(region, graph, path, calls):
                for root in (new, bare):
                    _fuse_chain(root, path, region)
            else:
                anew.append(_joined(path, _owner(region.members)))
        for owner in _outermost(anew):
            graph_of_owner = calls.graph(owner)
            if graph_of_owner is not None:
                found = Regions(graph_of_owner, bare.get_submodule(owner)).chosen(exact)
                new = with_module(new, owner, _written_anew(new.get_submodule(owner), graph_of_owner, found))
    return FusedNetwork(new, tuple(unfused))


def _name(region: Region, path: str) -> str:
    """The path of the module that runs all of it, or of the last convolution of a chain."""
    is_chain = all(len(node.all_input_nodes) == 1 for node in region.members)
    owner = region.kernels[-1].rpartition(".")[0] if is_chain else _owner(region.members)
    return _joined(path, owner) or str(region.output.target)


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}".strip(".")


def _owner(members: Iterable[fx.Node]) -> str:
    """The path of the innermost module that runs all of them itself."""
    paths = []
    for node in members:
        stack = list(node.meta.get("nn_module_stack", {}))
        path = str(node.target).rpartition(".")[0] if node.op == "call_module" else stack[-1] if stack else ""
        paths.append(path.split("."))
    levels = takewhile(lambda names: len(set(names)) == 1, zip(*paths, strict=False))
    return ".".join(names[0] for names in levels)


def _outermost(paths: Sequence[str]) -> Iterator[str]:
    """Those that lie in no other."""
    for path in dict.fromkeys(paths):
        if not any(path != other and (not other or path.startswith(f"{other}.")) for other in paths):
            yield path


def _is_chain(region: Region, graph: fx.Graph, path: str, calls: Calls) -> bool:
    """Whether it is modules one behind the other that nothing else calls."""
    uses = Counter(node.target for node in graph.nodes if node.op == "call_module")
    return all(
        node.op == "call_module"
        and len(node.all_input_nodes) == 1
        and uses[node.target] == 1
        and calls.number[_joined(path, str(node.target))] == calls.number[path]
        for node in region.members
    )


def _convolution(region: Region, part: nn.Module) -> nn.Module:
    """The region's convolution with the weights that its layers have in the module; a plain one where it is exact."""
    owner, _, name = region.kernels[-1].rpartition(".")
    place = getattr(part.get_submodule(owner), name)
    assert isinstance(place, Tensor)
    one = compose(region, part, "meta" if place.is_meta else "cpu")
    return (convolution_of if max(one.border) else plain_convolution_of)(one, place).eval()


def _fuse_chain(root: nn.Module, path: str, region: Region) -> None:
    """Put the convolution in the place of the last one of a chain, and `Identity` in that of its other layers."""
    part = root.get_submodule(path)
    fused, place = _convolution(region, part), region.kernels[-1].removesuffix(".weight")
    for node in region.members:
        instead = fused if node.target == place else nn.Identity().eval()
        with_module(part, str(node.target), instead)


def _written_anew(part: nn.Module, graph: fx.Graph, found: Sequence[Region]) -> nn.Module:
    """The module as a graph in which each region is a convolution."""
    written = fx.GraphModule(part, graph)
    replaced: dict[fx.Node, fx.Node] = {}
    for region, convolution in [(region, _convolution(region, part)) for region in found]:
        name, number = "fused", 1
        while hasattr(written, name):
            number += 1
            name = f"fused_{number}"
        written.add_submodule(name, convolution)
        with graph.inserting_after(region.output):
            node = graph.call_module(name, (replaced.get(region.source, region.source),))
        region.output.replace_all_uses_with(node)
        replaced[region.output] = node
        for member in reversed(region.members):
            graph.erase_node(member)
    for node in reversed(graph.nodes):
        if not node.users and constant_of(node, part) is not None:
            graph.erase_node(node)
    graph.lint()
    return fx.GraphModule(written, graph, type(part).__name__)  # with what the graph still reads, and no more
