"""The graphs that torch.fx shows of a module's parts, each with the shapes of its tensors."""

import operator
from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy
from inspect import Parameter, signature
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_map

from vggcalc.errors import InputError
from vggcalc.runtime.fuse.fuse import CONV_MODULES, NORM_MODULES, behaves_as
from vggcalc.runtime.fuse.parts import ASSIGNMENTS, has_hooks
from vggcalc.runtime.inputs import Arguments, own_dtype, random_values
from vggcalc.runtime.load.errors import in_one_line
from vggcalc.runtime.padded import PADDED

#: What an argument may be that is no tensor: a graph is written for this value of it.
_PLAIN = (int, float, bool, str, type(None))


def without_values(module: nn.Module) -> nn.Module:
    """A copy with its parameters and buffers on the meta device, made without copying any values."""
    bare: dict[int, Any] = {}
    for tensor in (*module.parameters(), *module.buffers()):
        empty = torch.empty_like(tensor, device="meta")
        bare[id(tensor)] = nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty
    return deepcopy(module, bare)


class Calls:
    """What a module, and every module within, is called with the first time, and how often it is."""

    def __init__(self, module: nn.Module, bare: nn.Module, arguments: Arguments) -> None:
        """`bare` is the module without values, which runs unless its code needs some. Raises `InputError`."""
        self._bare = bare
        self.first: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {}
        self.number: Counter[str] = Counter()
        try:
            self._run(bare, arguments, torch.device("meta"))
        except InputError:  # of code that reads values
            self.first, self.number = {}, Counter()
            self._run(module, arguments, None)

    def _run(self, module: nn.Module, arguments: Arguments, device: torch.device | None) -> None:
        draw = random_values(module, torch.Generator().manual_seed(0))
        tensors = (*module.parameters(), *module.buffers())
        where = device or next((tensor.device for tensor in tensors), torch.device("cpu"))

        def make(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
            return torch.empty(shape, dtype=dtype, device=where) if device else draw(shape, dtype).to(where)

        handles = []
        for path, part in module.named_modules():

            def called(part: nn.Module, args: Any, kwargs: Any, path: str = path) -> None:
                self.number[path] += 1
                self.first.setdefault(path, tree_map(_to_meta, (args, kwargs)))

            handles.append(part.register_forward_pre_hook(called, with_kwargs=True))
        call = arguments.with_tensors(make, own_dtype(module))
        try:
            with torch.no_grad():
                module(*call.args, **call.kwargs)
        except Exception as error:  # whatever the module's code raises, which stays its cause
            name, shapes = type(module).__name__, " and ".join(map(str, arguments.shapes()))
            raise InputError(f"{name} cannot be run for inputs {shapes}: {in_one_line(error)}") from error
        finally:
            for handle in handles:
                handle.remove()

    def graphs(self, path: str = "") -> Iterator[tuple[str, fx.Graph]]:
        """The graph of the module at a path, or, where there is none, those of the modules within."""
        graph = self.graph(path)
        if graph is not None:
            yield path, graph
            return
        for name, _ in self._bare.get_submodule(path).named_children():
            yield from self.graphs(f"{path}.{name}".lstrip("."))

    def graph(self, path: str) -> fx.Graph | None:
        """What the module at a path does with its tensors; None where torch.fx cannot show it."""
        module = self._bare.get_submodule(path)
        if path not in self.first or has_hooks(module):
            return None
        args, kwargs = self.first[path]
        return _graph(module, args, kwargs)


def _to_meta(value: Any) -> Any:
    return torch.empty_like(value, device="meta") if isinstance(value, Tensor) else value


#: Calls that only ask, so that one whose answer nothing reads is nothing.
_QUESTIONS = (getattr, operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge)


class _Proxy(fx.Proxy):
    """Stands for a tensor, which `x += y` changes; torch.fx's own takes that for `x = x + y`."""


def _changed_by(function: Callable[[Any, Any], Any]) -> Callable[[fx.Proxy, Any], fx.Proxy]:
    def change(changed: fx.Proxy, other: Any) -> fx.Proxy:
        return changed.tracer.create_proxy("call_function", function, (changed, other), {})

    return change


for _operation in ASSIGNMENTS:
    setattr(_Proxy, f"__{_operation.__name__}__", _changed_by(_operation))


class _Tracer(fx.Tracer):
    """Looks into every module but torch's own, what does the same, and those whose hooks would be run by looking."""

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Proxy(node, self)

    def is_leaf_module(self, module: nn.Module, path: str) -> bool:
        hooked = any(map(has_hooks, module.modules()))
        kinds = (*CONV_MODULES, *PADDED.values(), *NORM_MODULES)
        return hooked or any(behaves_as(module, kind) for kind in kinds) or super().is_leaf_module(module, path)


def _graph(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> fx.Graph | None:
    """The graph for these arguments; None for some that none can be written for, and for code that none can show."""
    bound = signature(module.forward).bind(*args, **kwargs)
    bound.apply_defaults()
    given = bound.arguments
    kinds = {one.kind for one in bound.signature.parameters.values()}
    if kinds & {Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD} or not all(
        isinstance(value, (Tensor, *_PLAIN)) for value in given.values()
    ):
        return None
    fixed = {name: value for name, value in given.items() if not isinstance(value, Tensor)}
    try:
        graph = _Tracer().trace(module, fixed or None)
        shown = fx.GraphModule(module, graph)
        with torch.no_grad():
            _Shapes(shown).run(*given.values())
    except Exception:  # whatever its code raises that is given no tensors, but what stands for them
        return None
    for node in reversed(graph.nodes):
        if (node.target is torch._assert and _asks_a_tensor(node)) or (node.target in _QUESTIONS and not node.users):
            graph.erase_node(node)
    return graph


def _asks_a_tensor(assertion: fx.Node) -> bool:
    """Whether an assertion is about what a tensor is, such as its number of dimensions, not about an argument."""
    read = [node for one in assertion.all_input_nodes for node in (one, *one.all_input_nodes)]
    return any(node.target is getattr for node in read)


class _Shapes(fx.Interpreter):
    """Runs a graph, and keeps with each node the shape and the memory of the tensor that it makes; views share one."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self._made: list[Tensor] = []  # all of them to the end, so that no two have the same memory by chance

    def run_node(self, n: fx.Node) -> Any:
        made = super().run_node(n)
        if isinstance(made, Tensor):
            self._made.append(made)
            n.meta["shape"], n.meta["memory"] = tuple(made.shape), made.untyped_storage()._cdata
        return made
