"""Traces kept on disk: read again only where nothing has changed that the model was made of, whatever that is."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from process import invoke

import vggcalc
from vggcalc.errors import InputError
from vggcalc.measurement import trace_cache
from vggcalc.measurement.trace import Tracer
from vggcalc.measurement.worker import Worker
from vggcalc.nets.graph import Network
from vggcalc.nets.inputs import TensorSpec
from vggcalc.nets.origins import Origin, Sources, importable
from vggcalc.protocol import Job

pytestmark = pytest.mark.usefixtures("warm_workers")

MODEL = """
import json
from pathlib import Path
from torch import nn
from tinynet.blocks import width

class Net(nn.Sequential):
    def __init__(self, out=4):
        path = Path(__file__).with_name("kernel.json")
        kernel = json.loads(path.read_text()) if path.exists() else 5
        super().__init__(nn.Conv2d(3, width(), kernel), nn.Conv2d(width(), out, 1))

class Other(Net):
    pass

class Reading(Net):
    def __init__(self, path):
        super().__init__(len(Path(path).read_text()))
"""

SHAPE = (1, 3, 8, 8)
ORIGIN = Origin("tinynet:Net", SHAPE)


class Site:
    """A folder of the search path with an installed distribution of one package."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.package = folder, folder / "tinynet"
        self.package.mkdir(parents=True)
        (self.package / "__init__.py").write_text(MODEL)
        (self.package / "blocks.py").write_text("def width(): return 8\n")
        (self.package / "kernel.json").write_text("3")
        self.record = folder / "tinynet-1.0.dist-info" / "RECORD"
        self.record.parent.mkdir()
        self.record.write_text("tinynet/__init__.py,,\ntinynet/blocks.py,,\ntinynet-1.0.dist-info/RECORD,,\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Installed, with a cache of its own that is empty, and a folder of the user's to run in."""
    monkeypatch.setenv("VGGCALC_CACHE_DIR", str(tmp_path / "cache"))
    found = Site(tmp_path / "site")
    search(monkeypatch, found.folder)
    (tmp_path / "user").mkdir()
    monkeypatch.chdir(tmp_path / "user")
    return found


def search(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    """Have packages looked for there, by this process and by its workers."""
    before = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (*map(str, folders), before))))
    monkeypatch.setattr(sys, "path", [sys.path[0], *map(str, folders), *sys.path[1:]])


def asked(origin: Origin = ORIGIN) -> tuple[Network, bool]:
    """The network, and whether it was traced anew."""
    started: list[Job] = []

    def start(job: Job, timeout_s: float) -> Worker:
        started.append(job)
        return Worker(job, timeout_s)

    with Tracer(start_worker=start) as tracer:
        return tracer.trace(origin), bool(started)


def edited(path: Path, before: str, after: str) -> None:
    """Edit a file in place without changing its size or the time of its last change."""
    assert len(before) == len(after)
    found, text = path.stat(), path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def test_the_second_time_the_trace_is_read(site: Site) -> None:
    first, traced = asked()
    assert traced
    assert asked() == (first, False)
    (entry,) = trace_cache.entries()
    assert entry.name.endswith(".trace")
    folder = os.path.dirname(entry.path)
    assert os.stat(folder).st_mode & 0o077 == 0, "what a user's model is made of is for nobody else"


@pytest.mark.parametrize(
    "other",
    [
        Origin("tinynet:Other", SHAPE),
        Origin("tinynet:Net", (2, 3, 8, 8)),
        Origin("tinynet:Net", SHAPE, {"out": 5}),
        Origin("tinynet:Net", SHAPE, inputs=(TensorSpec(SHAPE, name="input"),)),
    ],
    ids=["model", "shape", "argument", "inputs"],
)
def test_another_question_is_traced(site: Site, other: Origin) -> None:
    first = asked()[0]
    second, traced = asked(other)
    assert traced
    assert len(trace_cache.entries()) == 2
    assert asked() == (first, False)
    assert asked(other) == (second, False)


def _edit_code(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    edited(site.package / "blocks.py", "8", "9")


def _edit_data(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    edited(site.package / "kernel.json", "3", "5")


def _remove_data(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    (site.package / "kernel.json").unlink()


def _shadow(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    search(monkeypatch, Site(site.folder.with_name("before")).folder, site.folder)
    edited(site.folder.with_name("before") / "tinynet" / "blocks.py", "8", "9")


def _install(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    (site.folder / "optional.py").touch()


def _upgrade(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.record.parent.rename(site.folder / "tinynet-1.1.dist-info")


def _set(name: str) -> Callable[[Site, pytest.MonkeyPatch], None]:
    return lambda site, monkeypatch: monkeypatch.setenv(name, "1")


def _update(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vggcalc, "__version__", "999")


CHANGES = {
    "code": _edit_code,
    "data": _edit_data,
    "data gone": _remove_data,
    "another package of that name": _shadow,
    "another package installed": _install,
    "another version": _upgrade,
    "a setting of the package": _set("TINYNET_FUSED"),
    "a setting of torch": _set("PYTORCH_ANY"),
    "vggcalc": _update,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_after_any_change_it_is_traced_again(
    site: Site, monkeypatch: pytest.MonkeyPatch, change: Callable[[Site, pytest.MonkeyPatch], None]
) -> None:
    asked()
    change(site, monkeypatch)
    for pycache in site.package.glob("__pycache__/*"):  # by which Python would not notice either
        pycache.unlink()
    second, traced = asked()
    assert traced
    assert asked() == (second, False)


def test_what_cannot_be_imported_changes_nothing(site: Site) -> None:
    """Such as what a command writes where it is run, or what tests beside this one leave in the checkout."""
    if sys.platform == "linux":
        (site.folder / os.fsdecode(b"\xff.py")).touch()  # no name that can be sent
    first = asked()[0]
    (site.folder / "report.json").touch()
    (site.folder / ".cache").mkdir()
    assert asked() == (first, False)


def test_only_installed_code_is_kept(site: Site) -> None:
    editable = site.record.read_text()
    site.record.write_text("__editable__.tinynet.pth,,\n")
    assert asked()[1]
    assert asked()[1]
    site.record.write_text(editable)
    (site.package / "blocks.py").write_text("from mine import width\n")
    Path("mine.py").write_text("def width(): return 6\n")
    assert asked()[1]
    assert asked()[1]
    Path("mine.py").write_text("def width(): return 12\n")  # longer, so that Python notices it
    assert asked()[0].nodes[0].layer.out_channels == 12  # type: ignore[union-attr]
    assert not trace_cache.entries()


def test_what_read_a_file_of_the_users_is_not_kept(site: Site) -> None:
    Path("words.txt").write_text("12345")
    reading = Origin("tinynet:Reading", SHAPE, {"path": "words.txt"})
    assert asked(reading)[1]
    assert asked(reading)[1]
    assert not trace_cache.entries()


@pytest.mark.parametrize("origin", [
    Origin("net.py:Net", SHAPE), Origin("model.pt2", SHAPE), msgspec.structs.replace(ORIGIN, formulas="formulas.py"),
    msgspec.structs.replace(ORIGIN, inputs_from="net.py:inputs"),
])  # fmt: skip
def test_a_file_of_the_users_is_no_request(site: Site, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes part, and nobody sees whether it is the same the next time."""
    assert trace_cache.request_for(origin, "it") is None
    assert trace_cache.request_for(ORIGIN, "it") is not None
    monkeypatch.setenv("VGGCALC_CACHE_DIR", "")
    assert trace_cache.request_for(ORIGIN, "it") is None


def test_a_failure_is_not_kept(site: Site) -> None:
    for _ in range(2):
        with pytest.raises(InputError, match="3 channels"):
            asked(Origin("tinynet:Net", (1, 5, 8, 8)))
    assert not trace_cache.entries()


def test_on_the_command_line(site: Site) -> None:
    command = "summary", "tinynet:Net", "--input", "1x3x8x8", "--no-latency", "--json"
    first = invoke(*command, "--no-cache")
    assert first.returncode == 0
    assert not trace_cache.entries()
    assert invoke(*command).stdout == invoke(*command).stdout == first.stdout
    (entry,) = trace_cache.entries()
    shown = {"folder": trace_cache.folder(), "traces": 1, "bytes": entry.stat().st_size, "removed": False}
    assert json.loads(invoke("cache", "--json").stdout) == shown
    assert str(trace_cache.folder()) in invoke("cache").stdout
    assert "1 trace" in invoke("cache", "clear").stdout
    assert not trace_cache.entries()


@pytest.mark.parametrize("where", ["", "file/below", "\0", "~missing"])
def test_without_a_place_to_write_models_are_traced(site: Site, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    Path("file").touch()
    if where == "\0":  # no environment variable holds it
        monkeypatch.delenv("VGGCALC_CACHE_DIR")
        monkeypatch.setenv("XDG_CACHE_HOME", "relative")
        monkeypatch.setenv("HOME", os.path.abspath("file"))
    else:
        monkeypatch.setenv("VGGCALC_CACHE_DIR", where)
    found = asked()[0]
    assert len(found.nodes) == 2
    assert invoke("cache").returncode == 0


def made(name: str, site: Site) -> tuple[bytes, Network, Sources]:
    """A request, the network of that name, and sources that do not change."""
    network = vggcalc.network("8,M,8", size=8)
    network = Network(name, network.input_shape, network.nodes)
    return name.encode(), network, Sources({str(site.package): ("blocks.py",)}, {}, (), time.time_ns())


@pytest.fixture(scope="module")
def one_site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("site") / "site")


@given(st.integers(0, 2**20), st.integers(0, 255))
def test_what_is_damaged_is_not_there(one_site: Site, place: int, changed: int) -> None:
    request, network, sources = made("one", one_site)
    trace_cache.keep_trace(request, network, sources)
    assert trace_cache.kept_trace(request) == network
    (path,) = (Path(entry.path) for entry in trace_cache.entries())
    content = bytearray(path.read_bytes())
    if changed:
        content[place % len(content)] ^= changed
    else:
        del content[place % len(content) :]
    path.write_bytes(content)
    assert trace_cache.kept_trace(request) in (None, network)
    trace_cache.keep_trace(request, network, sources)
    assert trace_cache.kept_trace(request) == network
    path.unlink()


def test_a_file_that_changed_meanwhile_keeps_nothing(site: Site) -> None:
    request, network, sources = made("one", site)
    (site.package / "blocks.py").write_text("def width(): return 7\n")
    os.utime(site.package / "blocks.py", ns=(0, sources.began_ns + 1))
    trace_cache.keep_trace(request, network, sources)
    assert trace_cache.kept_trace(request) is None


def test_a_package_that_came_meanwhile_keeps_nothing(site: Site) -> None:
    request, network, sources = made("one", site)
    before = msgspec.structs.replace(sources, search_path={str(site.folder): importable(str(site.folder))})
    (site.folder / "optional.py").touch()
    trace_cache.keep_trace(request, network, before)
    assert trace_cache.kept_trace(request) is None
    trace_cache.keep_trace(request, network, sources)
    assert trace_cache.kept_trace(request) == network


def test_no_more_is_kept_than_may_be(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    trace_cache.keep_trace(*made("0", site))
    size = trace_cache.entries()[0].stat().st_size
    monkeypatch.setattr(trace_cache, "LARGEST_BYTES", 4 * size)
    for number in range(1, 9):
        os.utime(trace_cache._file_for(b"0"))  # as if it was just used
        trace_cache.keep_trace(*made(str(number), site))
        assert sum(entry.stat().st_size for entry in trace_cache.entries()) <= 4 * size
        assert trace_cache.kept_trace(str(number).encode()) is not None
        os.utime(trace_cache._file_for(str(number).encode()), ns=(number, number))
    assert trace_cache.kept_trace(b"0") is not None
    assert trace_cache.kept_trace(b"1") is None


WRITER = """
import sys
import msgspec
from vggcalc.measurement import trace_cache
from vggcalc.nets.graph import Network
from vggcalc.nets.origins import Sources
request, network, sources = msgspec.json.decode(sys.stdin.buffer.read(), type=tuple[bytes, Network, Sources])
for _ in range(100):
    trace_cache.keep_trace(request, network, sources)
"""


def test_two_processes_that_write_the_same_leave_it_whole(site: Site) -> None:
    question = made("one", site)
    content = msgspec.json.encode(question)
    seen: list[Network | None] = []
    processes = [subprocess.Popen([sys.executable, "-c", WRITER], stdin=subprocess.PIPE) for _ in range(2)]
    feeding = [threading.Thread(target=process.communicate, args=(content,)) for process in processes]
    for thread in feeding:
        thread.start()
    while any(thread.is_alive() for thread in feeding):
        seen.append(trace_cache.kept_trace(question[0]))
    assert [process.returncode for process in processes] == [0, 0]
    assert all(one in (None, question[1]) for one in seen)
    assert seen.index(question[1]) + seen[seen.index(question[1]) :].count(question[1]) == len(seen)
    assert trace_cache.kept_trace(question[0]) == question[1]
    assert len(os.listdir(trace_cache.folder() or "")) == 1
