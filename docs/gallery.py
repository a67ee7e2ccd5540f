"""Writes the gallery: a page for each of twenty models, with what vggcalc prints about it.

    python docs/gallery.py

torchvision and timm must be installed; .ci/models.txt has the versions. The pages' commands are run by
tests/test_docs.py like those of any page.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

GALLERY = Path(__file__).parent / "gallery"

ENVIRONMENT = {**os.environ, "COLUMNS": "80"}


class Model(NamedTuple):
    """A page: what is asked for, whose it is, what there is to see, and whether it has large kernels to factorize."""

    model: str
    source: str
    note: str
    factorize: str = ""

    @property
    def name(self) -> str:
        return self.model.split()[0].rpartition(":")[2]


LARGE = "compare {} --no-latency"

MODELS = [
    Model("vgg16", "1409.1556", "Net D: nothing but 3×3s. Its naive twin has one large kernel for each block.", LARGE),
    Model("alexnet", "1404.5997", "An 11×11 stem at stride 4 and a 5×5: the kernels that VGG replaced.", LARGE),
    Model("googlenet", "1409.4842", "Its 5×5s, as the paper has them, follow a 1×1 that narrows the channels.", LARGE),
    Model("torchvision:inception_v3 --size 299", "1512.00567", "Most of its large kernels are factorized already, "
          "into 1×7 and 7×1."),
    Model("torchvision:resnet50", "1512.03385", "One large kernel, the stem, where a stack is dearer: most of its cost "
          "comes before the stride.", LARGE),
    Model("torchvision:densenet121", "1608.06993", "Every layer reads all before it, so training saves much more than "
          "MACs let expect."),
    Model("torchvision:squeezenet1_1", "1602.07360", "1.2 million parameters; 1×1s squeeze before the 3×3s."),
    Model("torchvision:mobilenet_v2", "1801.04381", "Depthwise 3×3s: nearly all MACs are in the 1×1s."),
    Model("torchvision:mobilenet_v3_large", "1905.02244", "Depthwise 5×5s, which as stacks save next to nothing of the "
          "whole.", LARGE),
    Model("torchvision:shufflenet_v2_x1_0", "1807.11164", "Made for the clock rather than for MACs."),
    Model("torchvision:efficientnet_b0", "1905.11946", "Squeeze-and-excite: after the first, every unit sees the whole "
          "image.", LARGE),
    Model("torchvision:regnet_y_400mf", "2003.13678", "Group convolutions."),
    Model("torchvision:convnext_tiny", "2201.03545", "Depthwise 7×7s, 1% of its MACs.", LARGE),
    Model("torchvision:vit_b_16", "2010.11929", "A patch embedding and attention, whose products of two activations "
          "many counters leave out."),
    Model("torchvision:swin_t", "2103.14030", "Attention within windows."),
    Model("timm:repvgg_a0", "2101.03697", "Three branches for training that are one 3×3 for inference.",
          "compare {} --fused --no-latency"),
    Model("timm:inception_next_tiny", "2303.16900", "Depthwise 11×1, 1×11 and 3×3 side by side in place of a 7×7."),
    Model("timm:mixer_b16_224", "2105.01601", "No convolution but the patches, and no attention."),
    Model("torchvision:r3d_18 --size 16x112x112", "1711.11248", "Video: every 3×3×3 as (2+1)D, which is that paper's "
          "R(2+1)D.", 'compare {} --no-latency --min-kernel 3 --into "(2+1)d"'),
    Model("torchvision:fcn_resnet50 --size 520", "1411.4038", "Segmentation, with dilated convolutions and a class for "
          "each position."),
]  # fmt: skip

LISTED = " ".join(one.model for one in MODELS if "--size" not in one.model)


def session(command: str) -> str:
    """A block with the command and what it prints at 80 columns."""
    words = command.replace('"', "").split()
    done = subprocess.run(
        [sys.executable, "-m", "vggcalc", *words], check=True, capture_output=True, text=True, env=ENVIRONMENT
    )
    lines = "\n".join(line.rstrip() for line in done.stdout.splitlines()).strip("\n")
    return f"```console\n$ vggcalc {command}\n{lines}\n```\n"


def page(one: Model) -> str:
    """The page of a model."""
    parts = [
        f"# {one.name}\n",
        f"{one.note} ([arXiv {one.source}](https://arxiv.org/abs/{one.source}))\n",
        session(f"summary {one.model} --depth 1 --no-latency"),
    ]
    if one.factorize:
        parts += ["## Its large kernels\n", session(one.factorize.format(one.model))]
        if "--fused" in one.factorize:
            parts[-2] = "## Fused\n"
    return "\n".join(parts)


def index() -> str:
    """The list of all."""
    rows = "\n".join(f"| [{one.name}]({one.name}.md) | {one.note} |" for one in MODELS)
    return (
        "# Twenty models\n\nOne page each, as vggcalc prints it; `docs/gallery.py` writes them. Parameters and MACs "
        "are checked against torch and the published figures by `benchmarks/zoo.py`.\n\n"
        f"| model | what there is to see |\n|---|---|\n{rows}\n\n## Side by side\n\n"
        f"{session(f'summary {LISTED} --sort macs --no-latency')}"
    )


if __name__ == "__main__":
    GALLERY.mkdir(exist_ok=True)
    for one in MODELS:
        (GALLERY / f"{one.name}.md").write_text(page(one), encoding="utf-8")
        print(one.name, flush=True)
    (GALLERY / "index.md").write_text(index(), encoding="utf-8")
