"""From any `nn.Module` to a `Network`, without a weight and without computing a forward pass.

The module runs once on the meta device, where tensors have shapes and no content, under a dispatch
mode that sees every operator as it runs: functional calls, shared modules and control flow too.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vggcalc.errors import InputError
from vggcalc.nets.graph import (
    INPUT,
    Network,
    Node,
    Traced,
)
from vggcalc.nets.layers import (
    Add,
    Axes,
    Concat,
    Conv2d,
    CustomOperator,
    Flatten,
    Layer,
    Opaque,
    Operation,
    Shape,
)
from vggcalc.nets.shapes import output_shape
from vggcalc.runtime.trace.calls import Call
from vggcalc.runtime.trace.formulas import Formula, macs_by, module_formula, operator_formula
from vggcalc.runtime.trace.operators import OpOutput, known, look
from vggcalc.runtime.trace.spatial_axes import TOKENS, Place, lost

_NOTHING = frozenset[str]()

#: The number of the image among the steps.
_IMAGE = -1


class _Step(msgspec.Struct):
    """A node before it has its name: what it reads is known by number."""

    path: str
    call: int
    function: str
    layer: Layer
    shape: Shape
    inputs: tuple[int, ...]
    reach: str
    map: Axes
    uses: frozenset[str]
    parameters: int
    weights: str
    whole: bool = False


class _Whole(msgspec.Struct):
    """A module that is one layer while it runs: its arguments, what of the input it reads and what it overwrites."""

    module: nn.Module
    formula: Formula
    depth: int
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    read: list[torch.Tensor]
    overwritten: list[torch.Tensor] = []


def trace(module: nn.Module, input_shape: Sequence[int] = (1, 3, 224, 224), name: str = "") -> Network:
    """The network that `module` is for an image of `input_shape`, (batch, channels, height, width).

    In inference, as it would run after `module.eval()`; the module itself is left as it was. Nodes
    have the names of the modules that run them, with the operator's name behind it where a module
    runs several. Weights are not read, so they may lie on any device, the meta device included.
    Raises what the module raises, and `InputError` if its output does not depend on the image.
    """
    modules = dict(module.named_modules())
    state = {key: torch.empty_like(tensor, device="meta") for key, tensor in _state(module).items()}
    dtype = next((tensor.dtype for tensor in state.values() if tensor.is_floating_point()), torch.float32)
    tracer = _Tracer(modules, {key for key, _ in module.named_parameters()}, state)
    with _as_in_inference(module), _hooks(modules, tracer), torch.device("meta"), torch.inference_mode():
        image = torch.empty(tuple(input_shape), dtype=dtype)
        tracer.begin(image)
        with tracer:
            output = torch.func.functional_call(module, state, (image,))
    return tracer.network(name or type(module).__name__, tuple(input_shape), output)


def _state(module: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers, each tensor once."""
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


@contextmanager
def _as_in_inference(module: nn.Module) -> Iterator[None]:
    """Evaluation mode within; and attention as its parts, not as the one fused operator of inference.

    What the module keeps of its run is taken away again: it is of the meta device.
    """
    parts = [(part, dict(vars(part)), {key: dict(vars(part)[key]) for key in _KEPT}) for part in module.modules()]
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    module.eval()
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for part, attributes, kept in parts:
            vars(part).clear()
            vars(part).update(attributes)
            for key, before in kept.items():
                vars(part)[key].clear()
                vars(part)[key].update(before)


#: Where a module keeps what is registered in it.
_KEPT = ("_parameters", "_buffers", "_modules")


@contextmanager
def _hooks(modules: dict[str, nn.Module], tracer: "_Tracer") -> Iterator[None]:
    """Within it the tracer knows which module runs."""
    handles = []
    for path, part in modules.items():

        def enter(part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], path: str = path) -> None:
            tracer.enter(path, part, args, kwargs)

        def leave(part: nn.Module, arguments: object, output: object) -> None:
            tracer.leave(output)

        handles += [
            part.register_forward_pre_hook(enter, with_kwargs=True),
            part.register_forward_hook(leave, always_call=True),
        ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Tracer(TorchDispatchMode):
    """Writes down a step for every operator whose result depends on the image."""

    def __init__(self, modules: dict[str, nn.Module], parameters: set[str], state: dict[str, torch.Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._modules = modules
        self._state = state  # held, like all tensors met, so that no id is used twice
        self._parameters = parameters
        self._unused = dict.fromkeys(parameters)
        self._steps: list[_Step] = []
        self._held: list[torch.Tensor] = []
        #: By the id of a tensor that depends on the image: the step that made it, and its axes.
        self._made: dict[int, int] = {}
        self._places: dict[int, Place] = {}
        #: By the id of any other tensor: the parameters and buffers that it is made of.
        self._of = {id(tensor): frozenset((name,)) for name, tensor in state.items()}
        #: The tensors of a storage, and by id the step that wrote to the storage since they were made.
        self._sharing: dict[int, list[torch.Tensor]] = {}
        self._overwritten: dict[int, int] = {}
        self._stack: list[tuple[str, int]] = [("", 1)]
        self._calls: Counter[str] = Counter()
        self._users: Counter[str] = Counter()
        #: The module with a registered formula that is running.
        self._whole: _Whole | None = None

    def begin(self, image: torch.Tensor) -> None:
        """Say which tensor is the image."""
        axes = max(image.dim() - 2, 0)
        labels = (*[None] * (image.dim() - axes), *range(axes))
        self._keep(image, _IMAGE, Place(labels, tuple(image.shape[image.dim() - axes :])))

    def enter(self, path: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A module begins to run."""
        self._calls[path] += 1
        self._stack.append((path, self._calls[path]))
        formula = module_formula(module) if self._whole is None else None
        if formula is not None:
            read = [tensor for tensor in _tensors((args, kwargs)) if id(tensor) in self._made]
            self._whole = _Whole(module, formula, len(self._stack), args, kwargs, read)

    def leave(self, output: object) -> None:
        """It has run; or raised, with None as its output."""
        whole = self._whole
        if whole is not None and whole.depth == len(self._stack):
            self._whole = None
            if output is not None:
                self._write_whole(whole, output)
        self._stack.pop()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        tensors = _tensors((args, kwargs))
        if self._whole is not None:
            active = [tensor for tensor in tensors if id(tensor) in self._made]
            self._whole.read += active
            if active and func._schema.is_mutable:
                self._whole.overwritten += active
            return func(*args, **kwargs)
        formula = operator_formula(func)
        call = Call(func, args, kwargs, lambda value: id(value) in self._made, self._weights)
        active = [tensor for tensor in tensors if id(tensor) in self._made]
        uses = _NOTHING.union(*(self._of.get(id(tensor), _NOTHING) for tensor in tensors))
        if not active and not (uses and (call.does_macs or formula)):
            result = func(*args, **kwargs)
            for tensor in _tensors(result):  # of weights and constants alone: no step, but of these weights
                self._hold(tensor)
                self._of[id(tensor)] = uses
            return result
        again = call.decomposition(known(call))
        if again is not None and formula is None:
            with self:
                return again()
        shapes = [tuple(tensor.shape) for tensor in active]  # before an operator that changes them
        result = func(*args, **kwargs)
        macs = None if formula is None else macs_by(formula, func.name(), *args, out=result, **kwargs)
        self._write(call, active, shapes, uses, _tensors(result), macs)
        return result

    def _weights(self, value: object) -> str:
        """Whether a tensor is a parameter, "own", or "computed" from some, or a "buffer"; "" if it is none."""
        names = self._of.get(id(value), _NOTHING)
        if not names & self._parameters:
            return "buffer" if names else ""
        storage = value.untyped_storage()._cdata  # type: ignore[attr-defined]
        return "own" if storage == self._state[min(names)].untyped_storage()._cdata else "computed"

    def _write(
        self,
        call: Call,
        active: list[torch.Tensor],
        shapes: list[Shape],
        uses: frozenset[str],
        outputs: list[torch.Tensor],
        macs: int | None = None,
    ) -> None:
        """A step for each output of the call; those behind the first of several read the first."""
        given = any(output is tensor for output in outputs[:1] for tensor in active)
        if given and not call.mutates and call.function != "dropout":
            return  # the very tensor that it was given
        places = [self._places[id(tensor)] for tensor in active]
        if macs is None:
            seen = look(call, list(zip(shapes, places, strict=True)), [tuple(t.shape) for t in outputs])
        else:
            seen = [_counted(call.function, tuple(t.shape), macs) for t in outputs]
        read = tuple(self._source(tensor) for tensor in active)
        sources = tuple(dict.fromkeys(read))
        weights = {self._weights(tensor) for tensor in _tensors((call.args, call.kwargs))} - {"", "buffer"}
        weight = min(weights, default="")  # "computed" before "own"
        if not active and macs is None:  # a product of weights and constants alone
            self._add_apart("constant", call.first_factor)
            sources = (len(self._steps) - 1,)
        storages = {tensor.untyped_storage()._cdata for tensor in active}
        first = None
        for tensor, one in zip(outputs, seen, strict=True):
            layer, inputs, reach = one.layer, sources, one.reach
            if call.does_macs and tensor.is_complex():  # a MAC of complex numbers is several of real ones
                layer, reach = Opaque(call.function, tuple(tensor.shape)), "unknown"
            if isinstance(layer, Add | Concat):
                inputs = read  # which may be one of them twice
            storage = tensor.untyped_storage()._cdata
            shares = storage in storages and not call.mutates
            if isinstance(layer, Flatten) and not shares:
                layer = Operation(call.function, tuple(tensor.shape))
            if isinstance(layer, Operation) and layer.view != shares:
                layer = msgspec.structs.replace(layer, view=shares)
            if first is not None and not shares:
                layer = Operation(call.function, tuple(tensor.shape), view=True)
                inputs, reach, uses, weight = (first,), "pixel", _NOTHING, ""
            self._add(call.function, layer, tuple(tensor.shape), inputs, reach, one.place, uses, weight)
            first = len(self._steps) - 1 if first is None else first
            if call.mutates:
                for other in self._sharing.get(storage, ()):
                    self._overwritten[id(other)] = len(self._steps) - 1
                    self._made.setdefault(id(other), len(self._steps) - 1)
                    self._places.setdefault(id(other), lost(tuple(other.shape)))
            self._keep(tensor, len(self._steps) - 1, one.place)

    def _write_whole(self, whole: _Whole, output: object) -> None:
        """One step for a module with a registered formula, and one that reads it for each further output."""
        kind = type(whole.module).__name__
        path = self._stack[-1][0]
        outputs = _tensors(output)
        if not outputs:
            raise InputError(f"{path or kind} puts out no tensor: the formula of {kind} cannot be used for it")
        macs = macs_by(whole.formula, kind, whole.module, *whole.args, out=output, **whole.kwargs)
        uses = _NOTHING.union(*(self._of.get(id(tensor), _NOTHING) for tensor in whole.module.parameters()))
        sources = tuple(dict.fromkeys(self._source(tensor) for tensor in whole.read))
        first = len(self._steps)
        for tensor in outputs:
            one = _counted(kind, tuple(tensor.shape), macs)
            if len(self._steps) == first:
                self._add(kind, one.layer, tuple(tensor.shape), sources, one.reach, one.place, uses, "own" * bool(uses))
                self._steps[first].whole = True
            else:
                layer = Operation(kind, tuple(tensor.shape), view=True)
                self._add(kind, layer, tuple(tensor.shape), (first,), one.reach, one.place)
            self._keep(tensor, len(self._steps) - 1, one.place)
        for tensor in whole.overwritten:
            for other in self._sharing.get(tensor.untyped_storage()._cdata, ()):
                self._overwritten[id(other)] = first

    def _keep(self, tensor: torch.Tensor, step: int, place: Place) -> None:
        self._hold(tensor)
        self._made[id(tensor)] = step
        self._places[id(tensor)] = place
        self._overwritten.pop(id(tensor), None)

    def _hold(self, tensor: torch.Tensor) -> None:
        self._held.append(tensor)
        self._sharing.setdefault(tensor.untyped_storage()._cdata, []).append(tensor)

    def _source(self, tensor: torch.Tensor) -> int:
        """The step whose output a tensor is; joined first with what was written to its storage since."""
        written = self._overwritten.pop(id(tensor), None)
        if written is not None:
            shape = tuple(tensor.shape)
            reach = "pixel" if self._steps[written].shape == shape else "unknown"
            sources = tuple(dict.fromkeys((self._made[id(tensor)], written)))
            layer = Operation("alias", shape, view=True)
            self._add("alias", layer, shape, sources, reach, self._places[id(tensor)])
            self._made[id(tensor)] = len(self._steps) - 1
        return self._made[id(tensor)]

    def _add(
        self,
        function: str,
        layer: Layer,
        shape: Shape,
        inputs: tuple[int, ...],
        reach: str,
        place: Place,
        uses: frozenset[str] = _NOTHING,
        weights: str = "",
    ) -> None:
        known = [self._steps[i].shape if i >= 0 else self._image_shape for i in inputs]
        try:
            fits = output_shape(layer, known) == shape
        except InputError:
            fits = False
        if not fits:  # what torch did is not what we took it for
            layer, reach = Opaque(function, shape), "unknown"
        self._users.update(uses)
        fresh = [name for name in uses if name in self._unused]
        for name in fresh:
            del self._unused[name]
        own = sum(self._state[name].numel() for name in fresh)
        path, call = self._stack[-1]
        sizes = place.map if place.axes or TOKENS in place.labels else ()
        self._steps.append(_Step(path, call, function, layer, shape, inputs, reach, sizes, uses, own, weights))

    def _add_apart(self, function: str, shape: Shape, uses: frozenset[str] = _NOTHING) -> None:
        """A step that reads nothing and does nothing: what it stands for is no part of the map."""
        layer = Operation(function, shape, view=True)
        self._add(function, layer, shape, (), "unknown", lost(shape), uses)

    @property
    def _image_shape(self) -> Shape:
        return tuple(self._held[0].shape)

    def network(self, name: str, input_shape: Shape, output: object) -> Network:
        """What was seen as a network, whose last node is the first tensor of the output."""
        found = [tensor for tensor in _tensors(output) if id(tensor) in self._made]
        if not found:
            raise InputError(f"{name} puts out nothing that depends on its input: there is nothing to count")
        self._leftover()
        last = self._source(found[0])
        if last != len(self._steps) - 1:
            shape = tuple(found[0].shape)
            layer = Operation("output", shape, view=True)
            self._stack = [("", 1)]
            self._add("output", layer, shape, (last,), "pixel", self._places[id(found[0])])
        names = self._names()
        nodes = tuple(
            Node(names[i], step.layer, tuple(names[j] for j in step.inputs), self._traced(step))
            for i, step in enumerate(self._steps)
        )
        return Network(name, input_shape, nodes, "traced")

    def _leftover(self) -> None:
        """A step that does nothing for the parameters that took no part, under the module's name."""
        left: dict[str, frozenset[str]] = {}
        for name in self._unused:
            part = name.partition(".")[0]
            left[part] = left.get(part, _NOTHING) | {name}
        for part, names in left.items():
            self._stack = [(part if part in self._modules else "", 0)]
            self._add_apart("unused", (0,), names)

    def _names(self) -> dict[int, str]:
        """By number: the module's path where it runs one operator, else with the operator behind it."""
        lengths = Counter((step.path, step.call) for step in self._steps)
        names, taken = {_IMAGE: INPUT}, {INPUT}
        for i, step in enumerate(self._steps):
            leaf = step.path and not self._modules[step.path]._modules
            alone = leaf and lengths[step.path, step.call] == 1 and step.function != "unused"
            alone = alone or bool(step.whole and step.path)
            stem = step.path if alone else f"{step.path}.{step.function}".lstrip(".")
            number, candidate = 1, stem
            # A function never takes the name of a module, which another node may be.
            while candidate in taken or (not alone and candidate in self._modules):
                number += 1
                candidate = f"{stem}_{number}"
            taken.add(candidate)
            names[i] = candidate
        return names

    def _traced(self, step: _Step) -> Traced:
        by_function = self._by_function(step)
        why = self._why_not(step, by_function)
        module = None if why else step.path
        return Traced(step.reach, step.map, step.parameters, module, why, step.weights, by_function)

    def _by_function(self, step: _Step) -> bool:
        """Whether a function, or a module of another make, computes it, and no module of torch.nn."""
        module = self._modules[step.path]
        of_torch = type(module).__module__.startswith("torch.nn.modules.") and not module._modules
        return not of_torch or (isinstance(step.layer, Conv2d) and type(module) is not nn.Conv2d)

    def _why_not(self, step: _Step, by_function: bool) -> str:
        """Why the module of a step cannot be replaced by another; empty if it can."""
        module = self._modules[step.path]
        if by_function:
            return "it is computed by a function, not by a module of torch.nn that could be replaced"
        if self._calls[step.path] > 1:
            return f"its module is called {self._calls[step.path]} times"
        if getattr(module, "padding_mode", "zeros") != "zeros":
            return f"its padding is {module.padding_mode}, which no stack repeats"
        if any(self._users[name] > 1 for name in step.uses):
            return "its weight belongs to another layer too"
        return ""


def _counted(function: str, shape: Shape, macs: int) -> OpOutput:
    """What has a registered formula."""
    return OpOutput(CustomOperator(function, shape, macs), "unknown", lost(shape))


def _tensors(value: object) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, torch.Tensor)]
