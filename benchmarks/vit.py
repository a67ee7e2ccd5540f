"""What counters say of a vision transformer, whose attention multiplies activations with each other.

Each is asked for the MACs of torchvision's vit_b_16 at 1×3×224×224, in a process of its own, as `counters.py` asks for
VGG-16. Exact is torch's own counter on the meta device, where attention runs as its parts, halved: it counts two FLOPs
for a MAC. Prints a table, and writes the chart of the README.

    pip install . -r benchmarks/requirements.txt
    python benchmarks/vit.py docs/benchmarks/vit_b_16.svg > table.md
"""

import json
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from counters import ANSWER, COUNTERS, TOLERANT, machine, print_table

MAKE = "import torchvision\nmakers = [lambda: torchvision.models.vit_b_16().eval()]\n"
META = 'torch.set_default_device("meta")\n'

#: One more than there: torch's on the CPU, where attention is one operator. torchscan says that its figure is partial.
ASKED = {
    **COUNTERS,
    "torchscan": COUNTERS["torchscan"].replace('total["value"]', 'total["known_value"]'),
    "torch on the CPU": COUNTERS["torch"].replace(META, "").replace("model(torch", "torch.no_grad()(model)(torch"),
}
VGGCALC = [sys.executable, "-m", "vggcalc", "summary", "torchvision:vit_b_16", "--no-latency", "--json", "--no-cache"]


def said(name: str) -> tuple[int, int]:
    """Parameters, and what the counter gives first, in MACs: of FLOPs that are two a MAC, the half."""
    program = TOLERANT + MAKE + ASKED[name] + ANSWER
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    ((parameters, figures),) = json.loads(done.stdout.splitlines()[-1])
    figure = next(iter(figures.values()))
    return parameters, figure // 2 if name in ("torch", "torch on the CPU") else figure


def asked() -> dict[str, tuple[int, int]]:
    """What vggcalc and each counter say, the counters with their versions."""
    document = json.loads(subprocess.run(VGGCALC, check=True, capture_output=True, text=True).stdout)
    costs = document["comparisons"][0]["variants"][0]["costs"]
    found = {"vggcalc": (costs["parameters"], costs["macs"])}
    for name in ASKED:
        title = {"torch": "torch, meta device", "torch on the CPU": "torch, CPU, inference"}.get(name)
        found[title or f"{name} {metadata.version(name)}"] = said(name)
    return found


def table(found: dict[str, tuple[int, int]], exact: tuple[int, int]) -> Iterable[tuple[str, str, str, str, str]]:
    """A row for each, the nearest to exact first."""
    yield "counter", "parameters", "off by", "MACs", "off by"
    for name, (parameters, macs) in found.items():
        yield name, f"{parameters:,}", off(parameters, exact[0]), f"{macs:,}", off(macs, exact[1])


def off(figure: int, exact: int) -> str:
    """How far, in percent."""
    return "exact" if figure == exact else f"{100 * (figure / exact - 1):+.1f}%".replace("-", "−")


def chart(found: dict[str, tuple[int, int]], exact: int) -> str:
    """A bar for each counter's MACs, with a line where exact is; on either background."""
    left, width, height, top = 190, 400, 24, 34
    scale = width / max(macs for _, macs in found.values())
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 {top + height * len(found) + 6}" role="img">',
        f"<title>MACs of vit_b_16 as {len(found)} counters give them</title>",
        "<style>text{font:13px system-ui,sans-serif;fill:#1f2328}.b{fill:#0969da}.o{fill:#bf8700}.e{stroke:#6e7781}",
        "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.b{fill:#58a6ff}.o{fill:#d29922}}</style>",
        f'<text x="{left}" y="16">MACs of torchvision’s vit_b_16, exact: {exact:,}</text>',
    ]
    for row, (name, (_, macs)) in enumerate(found.items()):
        y, colour = top + height * row, "b" if macs == exact else "o"
        lines += [
            f'<text x="{left - 8}" y="{y + 14}" text-anchor="end">{name}</text>',
            f'<rect class="{colour}" x="{left}" y="{y}" width="{macs * scale:.1f}" height="18"/>',
            f'<text x="{left + max(macs, exact) * scale + 8:.1f}" y="{y + 14}">{off(macs, exact)}</text>',
        ]
    x = left + exact * scale
    lines += [f'<line class="e" x1="{x:.1f}" x2="{x:.1f}" y1="{top - 8}" y2="{top + height * len(found)}"/>', "</svg>"]
    return "".join(f"{line}\n" for line in lines)


def main() -> None:
    """Ask all, print the table and write the chart."""
    found = asked()
    exact = found["torch, meta device"]
    found = dict(
        sorted(found.items(), key=lambda item: (abs(item[1][1] - exact[1]), not item[0].startswith("vggcalc")))
    )
    print_table(table(found, exact))
    print(f"\n{machine()}.")
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(chart(found, exact[1]), encoding="utf-8")


if __name__ == "__main__":
    main()
