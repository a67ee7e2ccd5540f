"""The library at work: counts of a module, its factorizations, a gate, a sweep, and files of it all."""

import tempfile
from pathlib import Path

from torch import nn

import vggcalc

model = nn.Sequential(nn.Conv2d(3, 32, 7, stride=2, padding=3), nn.ReLU(), nn.Conv2d(32, 64, 5, padding=2), nn.ReLU())

# An nn.Module is traced here, on the meta device: its weights are not read, and nothing is computed.
print(vggcalc.summary(model, (1, 3, 64, 64)))

# Its large kernels against several factorizations; costs are attributes, exact integers.
comparison = vggcalc.compare(model, inputs=(1, 3, 64, 64), into="stack,asymmetric")
for variant in comparison:
    print(variant, f"{variant.macs / comparison['given'].macs:.1%} of the MACs")

# The module that was counted, to be trained.
smaller = vggcalc.rewrite(model, (1, 3, 64, 64), into="asymmetric")
assert sum(parameter.numel() for parameter in smaller.parameters()) == comparison["asymmetric"].parameters

# A condition for a test suite or a build.
result = vggcalc.gate(comparison, "asymmetric.ratio.macs > 80%")
assert result, result.held

# Every combination of the axes, row by row.
rows = vggcalc.sweep(kernels=range(3, 32, 2), channels=(16, 64), into="stack,asymmetric")
cheapest = min(rows, key=lambda row: row["macs_ratio"])
print(f"{cheapest['variant']} of {cheapest['kernel']}×{cheapest['kernel']}: {cheapest['macs_ratio']:.3f} of the MACs")

# As a document, which the command line's --against reads too.
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "model.json"
    comparison.save(path)
    assert vggcalc.load(path)["stack"].macs == comparison["stack"].macs
