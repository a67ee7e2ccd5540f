"""What parent and worker say to each other: one job on standard input, messages in reply.

Each is one line of JSON. A worker sends `Facts` first and `Done` last; a job is complete only
with `Done`, so half a reply is never taken for a whole one. When its standard input closes it
stops at the next round: the parent ends a measuring so, and a dead parent leaves no orphan.
"""

import msgspec

from vggcalc.results import Environment
from vggcalc.spec.layers import Network

PROTOCOL = 1


class Subject(msgspec.Struct, frozen=True):
    """A network under the name of its variant. `fvcore` says whether fvcore may run it."""

    name: str
    network: Network
    fvcore: bool = True


class CheckJob(msgspec.Struct, frozen=True, tag=True):
    """Count the subjects again with torch and fvcore."""

    subjects: tuple[Subject, ...]


class TimingJob(msgspec.Struct, frozen=True, tag=True):
    """Time the subjects in alternation, the first of them twice, for at most `budget_s` seconds.

    `need_bytes` is what all of them need at once on the device.
    """

    subjects: tuple[Subject, ...]
    device: str
    dtype: str
    threads: int
    seed: int
    budget_s: float
    need_bytes: int
    pin_allocator: bool = True


Job = CheckJob | TimingJob


class Facts(msgspec.Struct, frozen=True, tag=True):
    """What the worker runs on, and the devices that `auto` means there."""

    environment: Environment
    available: tuple[str, ...]
    protocol: int = PROTOCOL


class Counts(msgspec.Struct, frozen=True, tag=True):
    """One subject counted again; None where fvcore did not run it."""

    subject: str
    parameters: int
    torch_macs: int
    fvcore_macs: int | None
    fvcore_activations: int | None
    uncounted: dict[str, int]


class Start(msgspec.Struct, frozen=True, tag=True):
    """The arms are warm: their names (the last one is the control), calls in each timing."""

    arms: tuple[str, ...]
    calls: tuple[int, ...]
    settling: tuple[int, ...]
    allocator: str


class Rounds(msgspec.Struct, frozen=True, tag=True):
    """Rounds since the last message; for each the arms' figures, in the order of `Start.arms`.

    Wall and processor seconds for one call; minor page faults for one call.
    """

    wall_s: tuple[tuple[float, ...], ...]
    cpu_s: tuple[tuple[float, ...], ...]
    faults: tuple[tuple[float, ...], ...]


class Done(msgspec.Struct, frozen=True, tag=True):
    """The job is complete."""


class Refused(msgspec.Struct, frozen=True, tag=True):
    """The job cannot be done here, for a reason that the user can act on."""

    reason: str


Message = Facts | Counts | Start | Rounds | Done | Refused
