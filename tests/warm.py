"""Workers without the seconds that `import torch` takes: one process imports it, and forks each worker.

`python warm.py serve SOCKET` is that process. `python warm.py SOCKET` stands where the command of a worker does: it
hands over its streams, and the worker has its folder and its environment too. It ends as the worker ends, by the same
status or signal, and when it is killed the worker is. The worker runs what `python -m vggcalc.runtime.worker` runs.
"""

import os
import select
import signal
import socket
import sys


def stand_in(path: str) -> None:
    """Be what the parent of a worker sees of its process."""
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(path)
        socket.send_fds(server, [str(os.getpid()).encode()], [0, 1, 2])
        for stream in (0, 1, 2):
            os.close(stream)
        status = int(server.recv(16))
    if status < 0:
        os.kill(os.getpid(), -status)
    os._exit(status)


def serve(path: str) -> None:
    """Fork a keeper and a worker for everyone who connects, until standard input closes."""
    with socket.socket(socket.AF_UNIX) as listener:
        import_all()
        listener.bind(path)
        listener.listen()
        print("listening", flush=True)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a keeper
        while listener in select.select([0, listener], [], [])[0]:
            client = listener.accept()[0]
            if os.fork() == 0:
                listener.close()
                keep(client)
            client.close()


def import_all() -> None:
    """All that a worker imports, also what torch does only when it first traces and counts."""
    import gc

    import torch

    import vggcalc
    from vggcalc.protocol import Subject
    from vggcalc.runtime import jobs, tracing  # noqa: F401
    from vggcalc.runtime.check.counts import torch_counts
    from vggcalc.runtime.trace.tracer import trace

    torch.set_num_threads(1)  # a pool of threads does not live on in a fork
    torch_counts(Subject("first", vggcalc.network("8,M", size=8)), True, "float32")
    trace(torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1), torch.nn.ReLU()), (1, 1, 1, 1))
    gc.freeze()


def keep(client: socket.socket) -> None:
    """Fork the worker, kill it when its client has gone, and tell the client how it ended."""
    import threading
    from contextlib import suppress

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    caller, streams, _, _ = socket.recv_fds(client, 16, 3)
    worker = os.fork()
    if worker == 0:
        client.close()
        run(int(caller), streams)

    def kill() -> None:
        if not client.recv(1) and not ended.is_set():
            for kill in (os.killpg, os.kill):
                with suppress(ProcessLookupError):  # it has no group of its own yet
                    kill(worker, signal.SIGKILL)

    ended = threading.Event()
    for stream in streams:
        os.close(stream)
    threading.Thread(target=kill, daemon=True).start()
    status = os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])
    ended.set()
    with suppress(BrokenPipeError):  # it was killed first
        client.send(str(status).encode())
    os._exit(0)


def run(caller: int, streams: list[int]) -> None:
    """Be the worker that the caller was started as."""
    import random
    import traceback

    from vggcalc.runtime import worker
    from vggcalc.runtime.load import factories

    os.setsid()
    random.seed()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    with open(f"/proc/{caller}/environ", "rb") as file:
        pairs = (pair.split(b"=", 1) for pair in file.read().split(b"\0") if pair)
        os.environb.clear()
        os.environb.update(dict(pairs))
    sys.path[:0] = [folder for folder in os.environ.get("PYTHONPATH", "").split(":") if folder not in ("", *sys.path)]
    os.chdir(f"/proc/{caller}/cwd")
    factories.START = os.getcwd()
    status = 1
    try:
        worker.main()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    serve(sys.argv[2]) if sys.argv[1] == "serve" else stand_in(sys.argv[1])
