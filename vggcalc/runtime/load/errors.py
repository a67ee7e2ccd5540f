"""What user code raises, in one line that the user can act on."""

import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import torch

import vggcalc
from vggcalc.errors import InputError
from vggcalc.nets.origins import Origin
from vggcalc.runtime.trace.misfits import said_to_fit
from vggcalc.runtime.trace.tracer import TraceError

#: What is the matter and what would be right, by what torch says then.
HINTS = {
    "forward() missing": "give every input that it takes, in order, with --input",
    "required positional argument": (MISSING := "give what it needs with --arg NAME=VALUE"),
    "required keyword-only argument": MISSING,
    "meta tensor": "a trace has shapes and no values, so nothing can depend on them",
    "types: Long, Int": "say which input is one of integers, such as --input 1x77:int64",
    "no NVIDIA driver": (NO_CUDA := "its code moves to CUDA, which is not here: make the device an argument of it"),
    "not compiled with CUDA": NO_CUDA,
    "No CUDA GPUs": NO_CUDA,
}

#: Of what an exception says, in letters.
LONGEST = 400


class LoadError(Exception):
    """MODEL could not be made, in one line that the user can act on."""


@contextmanager
def one_line_errors(origin: Origin) -> Iterator[None]:
    """What user code raises, whatever it is, as a `LoadError` with the place in its own code."""
    try:
        yield
    except LoadError:
        raise
    except TraceError as error:
        if error.misfit:
            raise LoadError(f"{origin.source} cannot be traced: {error.misfit}{said_to_fit(error.fits)}") from None
        what = in_one_line(error.__cause__ or error) + said_to_fit(error.fits)
        raise LoadError(f"{origin.source} raised {what}") from None
    except InputError as error:  # ours: what it makes is no network
        text = str(error)
        raise LoadError(text if origin.source in text else f"{origin.source}: {text}") from None
    except SystemExit as error:
        raise LoadError(f"{origin.source} ended the process with status {error.code}") from None
    except BaseException as error:
        raise LoadError(f"{origin.source} raised {in_one_line(error)}") from None


def in_one_line(error: BaseException) -> str:
    """An exception in one line, cut where it is long, with the place at which it was raised."""
    what = "".join(traceback.format_exception_only(error)) if not isinstance(error, SyntaxError) else ""
    what = what or f"{type(error).__name__}: {error.msg}"  # type: ignore[attr-defined]
    text = " ".join(what.split()).encode(errors="replace").decode()
    text = "".join(letter for letter in text if letter.isprintable())
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]} …"
    hint = next((f": {why}" for sign, why in HINTS.items() if sign in text), "")
    return text + _where_raised(error) + hint


def _where_raised(error: BaseException) -> str:
    """The innermost line that is neither ours nor torch's, if there is one."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({error.filename}, line {error.lineno})"
    ours, torchs = (os.path.join(os.path.dirname(os.path.abspath(one.__file__ or "")), "") for one in (vggcalc, torch))
    frames = traceback.extract_tb(error.__traceback__)
    outside = [frame for frame in frames if not os.path.abspath(frame.filename).startswith(ours)]
    outside = [frame for frame in outside if not frame.filename.startswith("<")]
    own = [frame for frame in outside if not frame.filename.startswith(torchs)] or outside
    return f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""
