"""Every error that a user can cause. Each message is one line: the culprit, and what would be right."""

from collections.abc import Iterable

#: A message that is longer says what it quotes, such as a name, only in part.
LONGEST_MESSAGE = 1000


def shortened(text: str) -> str:
    """A message without its middle where it is longer than anyone reads; how it begins and ends stays."""
    if len(text) <= LONGEST_MESSAGE:
        return text
    end = LONGEST_MESSAGE // 3
    return f"{text[: LONGEST_MESSAGE - end - 3]} … {text[-end:]}"


class VggcalcError(Exception):
    """The base of all of them; the command line prints it in one line, with exit status 2."""

    def __init__(self, message: str = "") -> None:
        super().__init__(shortened(message))


class InputError(VggcalcError, ValueError):
    """An argument, option, model or document cannot be used."""


class FeatureMapTooSmall(InputError):
    """A convolution or pooling met a feature map smaller than its window."""


class OutputError(VggcalcError):
    """A file cannot be written; the message names it and says why."""


class WorkerError(VggcalcError):
    """A worker process failed; the message says why."""


def unknown(what: str, name: object, names: Iterable[str]) -> InputError:
    """The error for a name that is none of `names`, with the nearest of them as a hint.

    >>> unknown("family", "seperable", ["stack", "separable"])
    InputError("family 'seperable' is unknown: did you mean separable? There are stack, separable")
    """
    from difflib import get_close_matches

    names = list(names)
    text = str(name)[:100]
    by_lower = {other.lower(): other for other in names}
    near = get_close_matches(text.lower(), by_lower, n=1, cutoff=0.6)
    hint = f"did you mean {by_lower[near[0]]}? " if near else ""
    return InputError(f"{what} {text!r} is unknown: {hint}There are {', '.join(names)}")
