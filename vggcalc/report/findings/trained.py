"""What of trained kernels their factorizations can say."""

from vggcalc.report.findings.wording import amount_of, capital
from vggcalc.results import Comparison, RewrittenModel, TrainedKernel, Variant


def rewritten_answer(done: RewrittenModel) -> str:
    """How many layers were replaced, and what the model has, does and puts out since."""
    before, after = (sum(one.macs[i] for one in done.layers) for i in (0, 1))
    layers = "1 layer" if len(done.layers) == 1 else f"{len(done.layers)} layers"
    weights = amount_of(done.parameters[1] / done.parameters[0], "weights")
    text = (
        f"{layers} of {done.model} replaced: it has {weights}, and what was replaced does "
        f"{amount_of(after / before, 'MACs')}"
    )
    if done.energy is not None:
        text += f" and explains {done.energy:.1%} of its kernel{'s' * (len(done.layers) > 1)}"
    return f"{text}." if done.output_error is None else f"{text}; its output differs by {done.output_error:.1%}."


def trained_answer(comparison: Comparison, trained: TrainedKernel) -> str:
    """The variant that explains most of the kernel, and which does of those with fewer weights than it."""
    others = comparison.variants[1:]
    weights = {one.name: comparison.ratio(one.name).costs["parameters"] or 1.0 for one in others}
    most = max(others, key=explained)
    amount = f"with {amount_of(weights[most.name], 'weights')}"
    if len(others) == 1:
        return f"{capital(most.name)} explains {explained(most):.1%} of the energy of {trained.key}, {amount}"
    text = (
        f"Of {len(others)} variants {most.name} explains most of {trained.key}, {explained(most):.1%} of its energy, "
        f"{amount}"
    )
    smaller = [one for one in others if weights[one.name] < 1]
    if most in smaller or not smaller:
        return text
    best = max(smaller, key=explained)
    fewer = amount_of(weights[best.name], "").rstrip()
    return f"{text}; of those with fewer, {best.name}, {explained(best):.1%} with {fewer}"


def explained(variant: Variant) -> float:
    """The share of a trained kernel's energy that a variant explains."""
    assert variant.fitted is not None
    return variant.fitted.energy
