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


def nearest(name: str, names: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The one of the names that is most like this one, whatever its case and hyphens; None where none is like it.

    A name that is written in part is one of those that begin so, if there are any; one with its letters in another
    order comes before those that are like it. `cutoff` is the least similarity
    otherwise, from 0 to 1.

    >>> nearest("asym", ["stack", "asymmetric"]), nearest("vgg_61", ["vgg16", "vgg19"]), nearest("resnet", ["vgg16"])
    ('asymmetric', 'vgg16', None)
    """
    from difflib import get_close_matches

    text = _letters(name[:100])
    by_letters: dict[str, str] = {}
    for other in names:
        by_letters.setdefault(_letters(other), other)
    begun = [other for other in by_letters if other.startswith(text)] if len(text) > 1 else []
    swapped = [other for other in by_letters if sorted(other) == sorted(text)]
    found = get_close_matches(text, begun or swapped, n=1, cutoff=0.0)
    found = found or get_close_matches(text, by_letters, n=1, cutoff=cutoff)
    return by_letters[found[0]] if found else None


def _letters(name: str) -> str:
    return "".join(sign for sign in name.lower() if sign.isalnum())


def hint(name: str, names: Iterable[str], otherwise: str = "", cutoff: float = 0.6) -> str:
    """How a message about an unknown name goes on: `: did you mean X?`, or `otherwise` where no name is like it."""
    near = nearest(name, names, cutoff)
    return f": did you mean {near}?" if near else otherwise


#: Of more names than these a message says only the one that was meant, where there is one.
MOST_LISTED = 12


def unknown(what: str, name: object, names: Iterable[str]) -> InputError:
    """The error for a name that is none of `names`, with the nearest of them as a hint.

    >>> unknown("family", "seperable", ["stack", "separable"])
    InputError("family 'seperable' is unknown: did you mean separable? There are stack, separable")
    """
    names, text = list(names), str(name)[:100]
    near = nearest(text, names)
    listed = f"here are {', '.join(names)}" if near is None or len(names) <= MOST_LISTED else ""
    if near is None:
        return InputError(f"{what} {text!r} is unknown: t{listed}")
    return InputError(f"{what} {text!r} is unknown: did you mean {near}?" + (f" T{listed}" if listed else ""))
