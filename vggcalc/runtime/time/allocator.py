"""Pinning malloc's thresholds, because the allocator changes a ratio more than noise does.

glibc returns large outputs to the kernel and faults them in again on every call, which made
the same 7×7 against its stack 1.30 instead of 1.60, each with a tight interval. Both thresholds
must be pinned: one alone makes it worse.
"""

import ctypes

from vggcalc.results import AllocatorState

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


def pin() -> AllocatorState:
    """Keep freed memory in this process from now on. Returns what was done."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):  # no C library by that name, or none with mallopt
        return "no_glibc"
    if mallopt(M_MMAP_THRESHOLD, 1 << 30) and mallopt(M_TRIM_THRESHOLD, 2**31 - 1):
        return "pinned"
    return "refused"
