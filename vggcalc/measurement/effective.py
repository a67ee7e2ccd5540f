"""The effective receptive field of every variant, from the gradients that a worker has looked at."""

from collections.abc import Callable, Iterator, Sequence
from math import prod, sqrt
from statistics import fmean, stdev

from vggcalc.measurement.crosscheck import feature_map
from vggcalc.measurement.host import Host
from vggcalc.measurement.intervals import students_t
from vggcalc.measurement.limits import TORCH_BYTES, lacking_memory, warm_up_timeout_s, whole_cost
from vggcalc.protocol import EnergyJob, GradientEnergy, NoEnergy, ProbeTarget, Subject, WorkerInfo
from vggcalc.results import Comparison, EffectiveReceptiveField, HeldEnergy, LayerResult, Variant

#: A share that rounding may keep from being reached.
_ROUNDING = 1e-12

#: The comparison's index, the variant's name, and what was found or why nothing was.
Found = tuple[int, str, EffectiveReceptiveField | str]


def effective_fields(
    comparisons: Sequence[Comparison],
    samples: int,
    seed: int,
    note: Callable[[WorkerInfo], None],
    host: Host,
    show: Callable[[str, float | None], None],
) -> Iterator[Found]:
    """That of every variant, in one worker. `show` is called with what happens, and the seconds that are left.

    Raises `WorkerError`, after those that were found before.
    """
    free = host.free_bytes()
    subjects: list[Subject] = []
    centres: list[dict[str, tuple[float, ...]]] = []
    variants: dict[tuple[int, str], Variant] = {}
    for index, comparison in enumerate(comparisons):
        for variant in comparison.variants:
            found = centre_units(variant)
            why = "no layer puts out a map of the input" if not found else _too_large(variant, free)
            if why:
                yield index, variant.name, why
                continue
            variants[index, variant.name] = variant
            subjects.append(Subject(variant.name, variant.network, variant.origin, tuple(found), index))
            centres.append({target.layer: centre for target, centre in found.items()})
    if not subjects:
        return
    began = host.clock()
    job = EnergyJob(tuple(subjects), tuple(centres), samples, seed)
    energies: dict[tuple[int, str], list[GradientEnergy]] = {key: [] for key in variants}
    done = 0
    with host.start_worker(job, warm_up_timeout_s(variants.values())) as worker:
        for message in worker.messages():
            match message:
                case WorkerInfo():
                    note(message)
                case NoEnergy():
                    done += samples
                    yield message.comparison, message.subject, message.reason
                case GradientEnergy():
                    done += 1
                    key = message.comparison, message.subject
                    energies[key].append(message)
                    each_s = (host.clock() - began) / done
                    what = f"effective receptive field of {message.subject}: input {len(energies[key])} of {samples}"
                    show(what, each_s * (samples * len(subjects) - done))
                    if len(energies[key]) == samples:
                        yield *key, effective_field(variants[key], energies[key], seed)


def _too_large(variant: Variant, free: int | None) -> str | None:
    """Why the module does not fit: its weights, and every layer's output and its gradient, in float32."""
    outputs = sum(prod(layer.output_shape) for layer in variant.layers)
    return lacking_memory(4 * whole_cost(variant.costs, "parameters") + 8 * outputs + TORCH_BYTES, free)


def centre_units(variant: Variant) -> dict[ProbeTarget, tuple[float, ...]]:
    """The centre unit of each layer's map and where the middle of its field is on the input, the last layer's first.

    A map of a single unit, as after global pooling, comes after all others. Along an axis of an even number of units
    the centre is the first behind the middle.
    """
    image = variant.network.input_shape[2:]
    several: dict[ProbeTarget, tuple[float, ...]] = {}
    single: dict[ProbeTarget, tuple[float, ...]] = {}
    for layer in reversed(variant.layers):
        first, sizes = feature_map(layer, len(image))
        if first is None or not image or layer.sees not in ("window", "image"):
            continue
        unit = tuple(n // 2 for n in sizes)
        target = ProbeTarget(layer.name, unit, layer.output_shape, first)
        (single if prod(sizes) == 1 else several)[target] = _field_middle(layer, unit, sizes, image)
    return several | single


def _field_middle(
    layer: LayerResult, unit: tuple[int, ...], sizes: tuple[int, ...], image: tuple[int, ...]
) -> tuple[float, ...]:
    """The middle of the unit's field, or, where it sees the whole input, of its share of that."""
    field = layer.receptive_field
    if field is None:
        return tuple((u + 0.5) * n / units - 0.5 for u, n, units in zip(unit, image, sizes, strict=True))
    along = zip(unit, field.stride, field.padding, field.size, strict=True)
    return tuple(u * stride - padding + (size - 1) / 2 for u, stride, padding, size in along)


def effective_field(variant: Variant, energies: Sequence[GradientEnergy], seed: int) -> EffectiveReceptiveField | str:
    """From the samples of one variant, or why there is none.

    The interval of a side is where the 95% intervals of the mean shares cross the share that it holds (Woodruff 1952).
    """
    heard = [one.shares for one in energies if one.shares is not None]
    if not heard:
        return "its gradient is 0 everywhere, in every input"
    layer = next(layer for layer in variant.layers if layer.name == energies[0].layer)
    sides = energies[0].sides
    means = [fmean(each) for each in zip(*heard, strict=True)]
    last = next(i for i, share in enumerate(means) if share >= 1 - _ROUNDING)
    means = means[: last + 1]
    ends = None
    if len(heard) > 1:
        factor = students_t(0.025, len(heard) - 1) / sqrt(len(heard))
        columns = list(zip(*heard, strict=True))[: last + 1]
        reaches = [factor * stdev(each) for each in columns]
        ends = tuple((max(0.0, m - r), min(1.0, m + r)) for m, r in zip(means, reaches, strict=True))

    def holding(share: float) -> HeldEnergy:
        def reached(curve: Sequence[float]) -> int:
            return next((s for s, held in zip(sides, curve, strict=False) if held >= share - _ROUNDING), sides[last])

        between = None if ends is None else (reached([high for _, high in ends]), reached([low for low, _ in ends]))
        return HeldEnergy(reached(means), between)

    field = layer.receptive_field
    unit = next(target.unit for target in centre_units(variant) if target.layer == layer.name)
    return EffectiveReceptiveField(
        layer=layer.name,
        unit=unit,
        theoretical=field.size if field is not None else None,
        half=holding(0.5),
        most=holding(0.95),
        sides=sides[: last + 1],
        shares=tuple(means),
        shares_ci95=ends,
        samples=len(heard),
        silent=len(energies) - len(heard),
        weights="random" if variant.origin is None else "model",
        seed=seed,
    )
