"""Imports what benchmarks/zoo.py forks its processes from, and runs it once, so that each need not do it again."""

import contextlib
import importlib

import torch
from torch.utils.flop_counter import FlopCounterMode
from zoo_models import LIBRARIES

import vggcalc

torch.set_num_threads(1)
for library in LIBRARIES:
    with contextlib.suppress(ImportError):
        importlib.import_module(library)
with torch.device("meta"):
    small = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 3), torch.nn.BatchNorm2d(3)).eval().requires_grad_(False)
with torch.inference_mode(), FlopCounterMode(display=False):
    small(torch.empty(1, 3, 8, 8, device="meta"))
vggcalc.summary(small, (1, 3, 8, 8))
