"""Cases in processes of their own: signals at random moments, hostile models, streams and locales."""

import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path

from .checks import LIMIT_S, left_parts, require, wait_until

SIGNALS = [number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)) is not None]

#: Commands that run for a moment, and one that runs until it is ended.
RUNS = (
    ["compare", "vgg16", "--no-latency", "--json", "--output", "out.json"],
    ["sweep", "--kernel", "3:31:2", "--channels", "1:2000", "--into", "all", "--output", "out.csv"],
    ["factorize", "7", "9", "--no-latency", "--output", "out.md"],
)

LOCALES = (
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"PYTHONIOENCODING": "cp1252"},
    {"PYTHONIOENCODING": "cp437"},
)

#: Bodies of `Net`, a module that is compared.
HOSTILE_MODELS = (
    "def forward(self, x): return None",
    "def forward(self, x): raise KeyboardInterrupt",
    "def forward(self, x): import sys; sys.exit(0)",
    "def forward(self, x): import os; os._exit(0)",
    "def forward(self, x): import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "def forward(self, x): print('\\x1b[31m' * 1000); return x",
    "def forward(self, x): raise ValueError('\\x1b[31m\\n\\u202e' + 'x' * 100000)",
    "def forward(self, x): yield x",
    "def forward(self, x): return self.forward(x)",
    "def forward(self, x): return x if x.sum() > 0 else -x",
    "def __init__(self): import os; [os.close(n) for n in range(3, 30)]",
    "def __init__(self): raise RuntimeError",
    "def __init__(self): import os; os.write(1, b'{}\\n' * 1000); super().__init__()",
    "def __init__(self):\n  import os\n  for n in range(3, 30):\n   try: os.write(n, b'x' * 100000 + b'\\n')\n"
    "   except OSError: pass\n  super().__init__()",
)


def start(arguments: list[str], folder: Path, **environment: str) -> "subprocess.Popen[bytes]":
    def reset() -> None:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_DFL)

    path = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "vggcalc", *arguments],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder, preexec_fn=reset,
        env={**os.environ, "COLUMNS": "80", "PYTHONPATH": path, **environment},
    )  # fmt: skip


#: A line of a traceback that is in the package.
OUR_FRAME = re.compile(rb'File "[^"]*/vggcalc/(?:\w+/)*\w+\.py"')


def interrupted(rng: random.Random, folder: Path) -> None:
    """A signal at a random moment: its status or none, no traceback, no part of a file."""
    number = rng.choice(SIGNALS)
    process = start(rng.choice(RUNS), folder)
    try:
        process.wait(rng.uniform(0.0, 1.5))
    except subprocess.TimeoutExpired:
        process.send_signal(number)
    _, err = process.communicate(timeout=LIMIT_S)
    before_ours = b"Traceback" in err and not OUR_FRAME.search(err)  # while Python itself starts
    statuses = (0, 1, 128 + number, -number) if before_ours else (0, 128 + number, -number)
    require(process.returncode in statuses, f"{number!r}: status {process.returncode}, {err[-300:]!r}")
    require(before_ours or b"Traceback" not in err, f"{number!r}: {err[-300:]!r}")
    require(wait_until(lambda: not left_parts(folder)), "a part of a file is left")
    for path in folder.iterdir():
        path.unlink()


def hostile(rng: random.Random, folder: Path) -> None:
    """A model whose code does whatever it likes costs one line."""
    code = f"import torch\nclass Net(torch.nn.Module):\n {rng.choice(HOSTILE_MODELS)}\n"
    (folder / "net.py").write_text(code)
    process = start(["compare", "net.py:Net", "--no-latency"], folder)
    out, err = process.communicate(timeout=LIMIT_S)
    require(process.returncode in (0, 2), f"status {process.returncode}: {code}")
    require(process.returncode == 0 or (not out and err.count(b"\n") == 1), f"{err!r}: {code}")
    require(b"Traceback" not in err and b"\x1b" not in err + out, f"{err!r}: {code}")
    (folder / "net.py").unlink()


def in_a_locale(rng: random.Random, folder: Path) -> None:
    """No character is lost, whatever the locale."""
    locale = rng.choice(LOCALES)
    format_ = rng.choice(("table", "json", "csv", "markdown", "html"))
    process = start(["factorize", "7", "--no-latency", "--format", format_], folder, **locale)
    out, err = process.communicate(timeout=LIMIT_S)
    require((process.returncode, err) == (0, b""), f"{locale}: {err!r}")
    require(b"?" not in out or format_ == "html", f"{locale}, {format_}: a question mark")
    out.decode()
