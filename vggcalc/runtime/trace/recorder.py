"""The dispatch mode that records what a module does, operator by operator.

It is over 300 lines long because what is known of each tensor is kept in step in one place.
"""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from itertools import count, groupby
from typing import Any
from weakref import ref

import msgspec
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from vggcalc.errors import InputError
from vggcalc.nets.graph import Constant, Network
from vggcalc.nets.layers import Add, Concat, CustomOperator, Flatten, Layer, MatrixProduct, Opaque, Operation, Shape
from vggcalc.nets.shapes import output_shape
from vggcalc.runtime.trace.autograd import AutogradMode
from vggcalc.runtime.trace.calls import Call, factors
from vggcalc.runtime.trace.formulas import Formula, macs_by, module_formula, operator_formula
from vggcalc.runtime.trace.naming import INPUT_STEP, UNUSED, Step, nodes_of
from vggcalc.runtime.trace.nested import output_tensors, tensors_of
from vggcalc.runtime.trace.operators import apply_rule, has_rule, may_do_macs
from vggcalc.runtime.trace.operators.rules import OpOutput
from vggcalc.runtime.trace.spatial_axes import SpatialAxes, no_axes

_NOTHING = frozenset[str]()

#: What stands for a parameter that is none of the module's: one that it makes in forward, or has in a list.
_UNREGISTERED = frozenset(("",))

#: Layers that may read one input twice.
_READ_TWICE = (Add, Concat, MatrixProduct)

#: The kinds of weights; of an operator with several the first one stands for all.
_WEIGHTS = ("computed", "rearranged", "constant", "own")


class _WholeModule(msgspec.Struct):
    """A module with a registered formula, while it runs: `read` and `overwritten` are tensors from outside of it."""

    module: nn.Module
    formula: Formula
    depth: int
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    read: list[torch.Tensor]
    overwritten: list[torch.Tensor] = []


class Recorder(TorchDispatchMode):
    """Records a step for every operator whose result depends on the network's input.

    Within it torch hands each operator to `__torch_dispatch__` with its tensors. A tensor is known by its id, so what
    is known of it is forgotten when it is freed. Which module runs is told by `enter` and `leave`.
    """

    def __init__(
        self,
        modules: dict[str, nn.Module],
        parameters: dict[str, bool],
        state: dict[str, torch.Tensor],
        dtype: torch.dtype,
        holds_all: bool = True,
    ) -> None:
        """`parameters` say of each by name whether it requires a gradient; `state` are they and the buffers.

        `dtype` is the module's own. With `holds_all` no tensor met is freed before the end, which costs no memory where
        they have no values.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self._modules = modules
        self._state = state
        self._parameters = parameters
        self._dtype = dtype
        self._unused = dict.fromkeys(parameters)
        self._steps: list[Step] = []
        self._held: list[torch.Tensor] | None = [] if holds_all else None
        self._input_shape: Shape = ()
        #: By the id of a tensor that depends on the network's input: the step that made it, and its axes.
        self._step_of: dict[int, int] = {}
        self._spatial: dict[int, SpatialAxes] = {}
        #: By the id of any other tensor: the parameters and buffers that it is made of.
        self._weights_of = {id(tensor): frozenset((name,)) for name, tensor in state.items()}
        #: And by its id the parameters of which training computes the gradient by way of the tensor.
        self._trained_of = {
            id(tensor): frozenset((name,)) if parameters.get(name) else _NOTHING for name, tensor in state.items()
        }
        #: Those that are made of parameters without that autograd saves any of them, by id.
        self._rearranged: dict[int, None] = {}
        #: The constants that autograd saves for them, by their ids; and a number for the storage of each.
        self._saved_for: dict[int, tuple[Constant, ...]] = {}
        self._storages: dict[int, int] = {}
        self._numbers = count()
        #: The tensors of a storage by id, where any may be freed; and those of them that do not depend on the input.
        self._sharing: dict[int, dict[int, ref[torch.Tensor]]] = {}
        self._inactive: dict[int, dict[int, ref[torch.Tensor]]] = {}
        #: The step that last wrote to a storage, and by a tensor's id that of which its own step knows.
        self._written: dict[int, int] = {}
        self._read: dict[int, int] = {}
        self._stack: list[tuple[str, int]] = [("", 1)]
        self._calls: Counter[str] = Counter()
        #: The module with a registered formula that is running.
        self._whole: _WholeModule | None = None
        #: The step whose output has last become an array of numpy.
        self._outside: int | None = None
        self.autograd = AutogradMode()
        #: Whether a value that depends on the input was read, or decided a shape.
        self.depends_on_values = False
        #: The innermost module that an exception has left: its path, itself, and the shape of its first argument.
        self.raised_in: tuple[str, nn.Module, Shape] | None = None

    def begin(self, inputs: Sequence[torch.Tensor]) -> None:
        """Say which tensors are the network's inputs: the first is its `input`, the others are steps of their own."""
        self._input_shape = tuple(inputs[0].shape)
        for number, tensor in enumerate(inputs):
            axes = max(tensor.dim() - 2, 0)
            labels = (*[None] * (tensor.dim() - axes), *range(axes))
            if number:
                self._add_apart("input", tuple(tensor.shape), itemsize=self.itemsize(tensor))
            step = len(self._steps) - 1 if number else INPUT_STEP
            self._keep(tensor, step, SpatialAxes(labels, tuple(tensor.shape[tensor.dim() - axes :])))

    def enter(self, path: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A module begins to run."""
        self.raised_in = None
        self._calls[path] += 1
        self._stack.append((path, self._calls[path]))
        formula = module_formula(module) if self._whole is None else None
        if formula is not None:
            read = [tensor for tensor in tensors_of((args, kwargs)) if id(tensor) in self._step_of]
            self._whole = _WholeModule(module, formula, len(self._stack), args, kwargs, read)

    def leave(self, arguments: object, output: object) -> None:
        """It has run; or raised, with None as its output."""
        if output is None and self.raised_in is None:
            path = self._stack[-1][0]
            shapes = [tuple(tensor.shape) for tensor in tensors_of(arguments)]
            self.raised_in = path, self._modules[path], shapes[0] if shapes else ()
        whole = self._whole
        if whole is not None and whole.depth == len(self._stack):
            self._whole = None
            if output is not None:
                self._record_whole(whole, output)
        self._stack.pop()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func.namespace == "prim":  # asks a tensor about itself
            return func(*args, **kwargs)
        self.raised_in = None
        tensors = tensors_of((args, kwargs))
        if self._outside is not None:
            self._take_in(tensors)
        active = [tensor for tensor in tensors if id(tensor) in self._step_of]
        if self._whole is not None:
            self._whole.read += active
            if active and func._schema.is_mutable:
                self._whole.overwritten += active
            return func(*args, **kwargs)
        formula = operator_formula(func)
        call = Call(func, args, kwargs, tensors, active, self._kind_of_weight)
        counts = bool(active) or formula is not None or may_do_macs(call)
        if not tensors or not counts or call.lends:
            return self._constant(call, func(*args, **kwargs), tensors)
        decomposition = None if formula is not None else call.decomposition(has_rule(call))
        if decomposition is not None:
            with self:
                return decomposition()
        shapes = [tuple(tensor.shape) for tensor in active]  # before an operator that changes them
        result = call.run()
        macs = None if formula is None else macs_by(formula, func.name(), *args, out=result, **kwargs)
        outputs = tensors_of(result)
        self.depends_on_values |= bool(active) and (not outputs or torch.Tag.dynamic_output_shape in func.tags)
        if outputs:
            self._record(call, shapes, outputs, macs)
        return result

    def leaves_torch(self, tensor: object, as_array: bool) -> None:
        """A tensor becomes numbers; or an array: what comes back, a tensor never met, is taken to be made of it."""
        if id(tensor) in self._step_of:
            self._outside = self._step_of[id(tensor)] if as_array else self._outside
            self.depends_on_values = True

    def _take_in(self, tensors: Sequence[torch.Tensor]) -> None:
        """A step for each tensor that was never met: it comes back from outside of torch."""
        for tensor in tensors:
            if self._outside is not None and id(tensor) not in self._step_of and id(tensor) not in self._weights_of:
                shape = tuple(tensor.shape)
                self._add("numpy", Operation("numpy", shape), shape, (self._outside,), "unknown", no_axes(shape))
                self._keep(tensor, len(self._steps) - 1, no_axes(shape))

    def _constant(self, call: Call, result: Any, tensors: Sequence[torch.Tensor], is_step: bool = False) -> Any:
        """What is made of weights and constants alone is no step but a product, and is known to be of these weights."""
        uses, trained = self._uses(tensors), self._trained(call, tensors)
        rearranged = bool(uses) and (is_step or call.rearranges_weights)
        saved = self._saved(call) if rearranged and trained and not is_step else ()
        for tensor in tensors_of(result):
            self._hold(tensor)
            if rearranged:
                self._rearranged[id(tensor)] = None
            if saved:
                self._saved_for[id(tensor)] = saved
            self._weights_of[id(tensor)] = uses
            self._trained_of[id(tensor)] = trained
            if id(tensor) not in self._step_of:
                self._inactive.setdefault(tensor.untyped_storage()._cdata, {})[id(tensor)] = ref(tensor)
        return result

    def _trained(self, call: Call, tensors: Sequence[object]) -> frozenset[str]:
        """The parameters of which training computes the gradient by way of the call, if these are what it reads."""
        if call.function == "detach" or self.autograd.current == "no_grad":
            return _NOTHING
        return _NOTHING.union(*map(self._trained_by, tensors))

    def _trained_by(self, value: object) -> frozenset[str]:
        """The parameters of which training computes the gradient by way of a tensor."""
        unregistered = isinstance(value, nn.Parameter) and value.requires_grad
        return self._trained_of.get(id(value), _UNREGISTERED if unregistered else _NOTHING)

    def _uses(self, tensors: Sequence[object]) -> frozenset[str]:
        """The parameters and buffers that tensors are made of."""
        return _NOTHING.union(*(self._weights_of.get(id(tensor), _NOTHING) for tensor in tensors))

    def _saved(self, call: Call) -> tuple[Constant, ...]:
        """The constants that autograd saves for a call, and those that it saved for the weights that the call takes."""
        found = [constant for tensor in call.tensors for constant in self._saved_for.get(id(tensor), ())]
        for tensor in call.saved_constants:
            storage = tensor.untyped_storage()
            if any(storage._cdata == self._state[name].untyped_storage()._cdata for name in self._uses([tensor])):
                continue  # a view of a parameter
            number = self._storages.get(storage._cdata)
            if number is None:
                number = self._storages[storage._cdata] = next(self._numbers)
            found.append(Constant(number, storage.nbytes() // tensor.element_size(), self.itemsize(tensor)))
        return tuple(dict.fromkeys(found))

    def itemsize(self, tensor: torch.Tensor) -> int:
        """The bytes of an element, where it is not of the module's own dtype; 0 where it is."""
        return 0 if tensor.dtype == self._dtype else tensor.element_size()

    def _kind_of_weight(self, value: object) -> str:
        """What a tensor is that does not depend on the input: see `Call`; "" for any other value."""
        if not isinstance(value, torch.Tensor) or id(value) in self._step_of:
            return ""
        names = self._weights_of.get(id(value), _NOTHING)
        storage = value.untyped_storage()._cdata
        itself = any(storage == self._state[name].untyped_storage()._cdata for name in names)
        if self._parameters.keys().isdisjoint(names):
            return "buffer" if itself else "computed" if self._trained_by(value) else "constant"
        if itself and len(names) == 1:
            return "own"
        return "rearranged" if id(value) in self._rearranged else "computed"

    def _trains(self, call: Call, tensors: Sequence[object]) -> str:
        """Whether training computes the gradient of a "weight" of the call, of a "bias" alone, of "both" factors."""
        trained = self._trained(call, tensors)
        if call.function == "scaled_dot_product_attention":
            both = all(self._trained(call, [call[name]]) for name in ("query", "key", "value"))
            return "both" if both else "weight" * bool(trained)
        if not trained or not call.does_macs:
            return "weight" * bool(trained)
        factors_trained = sum(bool(self._trained(call, [call[name]])) for name in factors(call))
        return ("bias", "weight", "both")[factors_trained]

    def _record(
        self,
        call: Call,
        shapes: list[Shape],
        outputs: list[torch.Tensor],
        macs: int | None = None,
    ) -> None:
        """A step for each output of the call; those behind the first of several read the first.

        `shapes` are those that its active tensors had before it.
        """
        active, tensors = call.active, call.tensors
        passed_on = any(output is tensor for output in outputs[:1] for tensor in active)
        if passed_on and not call.mutates and call.function != "dropout":
            return
        spatial_axes = [self._spatial[id(tensor)] for tensor in active]
        after = [tuple(tensor.shape) for tensor in outputs]
        if macs is None:
            seen = apply_rule(call, list(zip(shapes, spatial_axes, strict=True)), after)
        else:
            seen = [_counted(call.function, shape, macs) for shape in after]
        if call.does_macs and len(active) > 1:  # its factors first, and then what it adds
            active = sorted(active, key=lambda tensor: not any(tensor is call[name] for name in factors(call)))
        read = tuple(self._source(tensor) for tensor in active)
        sources = tuple(dict.fromkeys(read))
        uses, weight, trains = _NOTHING, "", ""
        saved: tuple[Constant, ...] = ()
        if any(id(tensor) in self._weights_of or id(tensor) not in self._step_of for tensor in tensors):
            uses, trains, saved = self._uses(tensors), self._trains(call, tensors), self._saved(call)
            weights = {self._kind_of_weight(tensor) for tensor in tensors} - {"", "buffer"}
            if not call.does_macs:
                weights.discard("constant")
            weight = min(weights, key=_WEIGHTS.index, default="")
        steering = {self._source(tensor) for tensor in call.steering if id(tensor) in self._step_of}
        storages = {tensor.untyped_storage()._cdata for tensor in active}
        first = None
        for tensor, shape, one in zip(outputs, after, seen, strict=True):
            layer, inputs, reach = one.layer, sources, one.reach
            if call.does_macs and tensor.is_complex():  # a MAC of complex numbers is several of real ones
                layer, reach = Opaque(call.function, shape), "unknown"
            if isinstance(layer, _READ_TWICE):
                inputs = read  # which may be one of them twice
            storage = tensor.untyped_storage()._cdata
            shares = storage in storages and not call.mutates
            if isinstance(layer, Flatten) and not shares:
                layer = Operation(call.function, shape)
            if isinstance(layer, Operation) and layer.view != shares:
                layer = msgspec.structs.replace(layer, view=shares)
            if first is not None and not shares:
                layer = Operation(call.function, shape, view=True)
                inputs, reach, uses, weight, trains = (first,), "pixel", _NOTHING, "", ""
            self._add(call.function, layer, shape, inputs, reach, one.spatial, uses, weight, trains)
            step = self._steps[-1]
            step.itemsize, step.constants = self.itemsize(tensor), saved
            if not tensor.is_floating_point() and not tensor.is_complex():
                step.autograd = "no_grad"  # numbers of elements and masks have no gradient
            if steering:
                step.steering = tuple(inputs.index(source) for source in steering if source in inputs)
            first = len(self._steps) - 1 if first is None else first
            if not active:  # a product of weights and constants alone is a weight itself
                self._constant(call, tensor, tensors, is_step=True)
                continue
            if call.mutates:
                self._overwrite(storage)
            self._keep(tensor, len(self._steps) - 1, one.spatial)

    def _record_whole(self, whole: _WholeModule, output: object) -> None:
        """One step for a module with a registered formula, and one that reads it for each further output."""
        kind = type(whole.module).__name__
        path = self._stack[-1][0]
        outputs = list(output_tensors(output))
        if not outputs:
            raise InputError(f"{path or kind} puts out no tensor: the formula of {kind} cannot be used for it")
        macs = macs_by(whole.formula, kind, whole.module, *whole.args, out=output, **whole.kwargs)
        uses = self._uses(list(whole.module.parameters()))
        trains = "weight" * (self.autograd.current != "no_grad" and any(map(self._parameters.get, uses)))
        sources = tuple(dict.fromkeys(self._source(tensor) for tensor in whole.read))
        first = len(self._steps)
        for tensor in outputs:
            one = _counted(kind, tuple(tensor.shape), macs)
            if len(self._steps) == first:
                self._add(
                    kind,
                    one.layer,
                    tuple(tensor.shape),
                    sources,
                    one.reach,
                    one.spatial,
                    uses,
                    "own" * bool(uses),
                    trains,
                )
                self._steps[first].whole = True
            else:
                layer = Operation(kind, tuple(tensor.shape), view=True)
                self._add(kind, layer, tuple(tensor.shape), (first,), one.reach, one.spatial)
            self._keep(tensor, len(self._steps) - 1, one.spatial)
        for tensor in whole.overwritten:
            self._written[tensor.untyped_storage()._cdata] = first

    def _keep(self, tensor: torch.Tensor, step: int, spatial: SpatialAxes) -> None:
        self._hold(tensor)
        self._step_of[id(tensor)] = step
        self._spatial[id(tensor)] = spatial
        written = self._written.get(tensor.untyped_storage()._cdata)
        if written is not None:
            self._read[id(tensor)] = written

    def _overwrite(self, storage: int) -> None:
        """The last step wrote to a storage: what shares it depends on the input now."""
        step = self._written[storage] = len(self._steps) - 1
        for number, one in self._inactive.pop(storage, {}).items():
            other = one()
            if other is not None:
                self._step_of.setdefault(number, step)
                self._spatial.setdefault(number, no_axes(tuple(other.shape)))

    def _hold(self, tensor: torch.Tensor) -> None:
        """Keep what is known of a tensor by its id true: hold it, or forget it all when it is freed."""
        if self._held is not None:
            self._held.append(tensor)
            return
        storage, number = tensor.untyped_storage()._cdata, id(tensor)
        self._sharing.setdefault(storage, {})[number] = ref(tensor, partial(self._forget, storage, number))

    def _forget(self, storage: int, number: int, freed: object) -> None:
        of_tensors = (self._step_of, self._spatial, self._weights_of, self._trained_of, self._read)
        for known in (*of_tensors, self._rearranged, self._saved_for, self._sharing[storage]):
            known.pop(number, None)
        if not self._sharing[storage]:
            for of_storage in (self._sharing, self._inactive, self._written, self._storages):
                of_storage.pop(storage, None)

    def _source(self, tensor: torch.Tensor) -> int:
        """The step whose output a tensor is; joined first with what was written to its storage since."""
        written = self._written.get(tensor.untyped_storage()._cdata)
        if written is not None and self._read.get(id(tensor)) != written:
            self._read[id(tensor)] = written
            shape = tuple(tensor.shape)
            reach = "pixel" if self._steps[written].shape == shape else "unknown"
            sources = tuple(dict.fromkeys((self._step_of[id(tensor)], written)))
            layer = Operation("alias", shape, view=True)
            self._add("alias", layer, shape, sources, reach, self._spatial[id(tensor)])
            self._step_of[id(tensor)] = len(self._steps) - 1
        return self._step_of[id(tensor)]

    def _add(
        self,
        function: str,
        layer: Layer,
        shape: Shape,
        inputs: tuple[int, ...],
        reach: str,
        spatial: SpatialAxes,
        uses: frozenset[str] = _NOTHING,
        weights: str = "",
        trains: str = "",
    ) -> None:
        known = [self._steps[i].shape if i >= 0 else self._input_shape for i in inputs]
        try:
            fits = output_shape(layer, known) == shape
        except InputError:
            fits = False
        if not fits:  # torch computed something else than the layer says
            layer, reach = Opaque(function, shape), "unknown"
        fresh = [name for name in uses if name in self._unused]
        for name in fresh:
            del self._unused[name]
        parameters = trainable = parameter_bytes = 0
        for name in fresh:
            size = self._state[name].numel()
            parameters += size
            trainable += size * self._parameters[name]
            parameter_bytes += size * self._state[name].element_size()
        path, call = self._stack[-1]
        self._steps.append(
            Step(
                path,
                call,
                function,
                layer,
                shape,
                inputs,
                reach,
                spatial.sizes if spatial.tracked else (),
                uses,
                parameters,
                trainable,
                parameter_bytes,
                weights,
                trains,
                self.autograd.current,
            )
        )

    def _add_apart(self, function: str, shape: Shape, uses: frozenset[str] = _NOTHING, itemsize: int = 0) -> None:
        """A step that reads nothing and does nothing: it stands for a tensor that comes from elsewhere."""
        layer = Operation(function, shape, view=True)
        self._add(function, layer, shape, (), "unknown", no_axes(shape), uses)
        self._steps[-1].itemsize = itemsize

    def network(self, name: str, output: object) -> Network:
        """The steps as a network, whose last node is the first tensor of the output."""
        self._take_in(list(output_tensors(output)))
        found = [tensor for tensor in output_tensors(output) if id(tensor) in self._step_of]
        if not found:
            kind = "None" if output is None else f"a {type(output).__name__}"
            parts = [f"{key}, a {type(part).__name__}" for key, part in self._modules[""].named_children()]
            hint = f"; its only part is {parts[0]}: give that" if len(parts) == 1 else ""
            raise InputError(
                f"{name} puts out nothing that depends on its input, but {kind}: there is nothing to count{hint}"
            )
        self._add_unused()
        last = self._source(found[0])
        if last != len(self._steps) - 1:
            shape = tuple(found[0].shape)
            layer = Operation("output", shape, view=True)
            self._stack = [("", 1)]
            self._add("output", layer, shape, (last,), "pixel", self._spatial[id(found[0])])
        return Network(name, self._input_shape, nodes_of(self._steps, self._modules, self._calls), "traced")

    def _add_unused(self) -> None:
        """For each part of the module a step without an operator, for its parameters that took no part."""
        for part, names in groupby(sorted(self._unused), key=lambda name: name.partition(".")[0]):
            self._stack = [(part if part in self._modules else "", 0)]
            self._add_apart(UNUSED, (0,), frozenset(names))


def _counted(function: str, shape: Shape, macs: int) -> OpOutput:
    """What has a registered formula."""
    return OpOutput(CustomOperator(function, shape, macs), "unknown", no_axes(shape))
