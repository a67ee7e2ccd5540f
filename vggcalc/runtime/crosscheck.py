"""Counting a network again: its built module by torch's counter and by fvcore."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from vggcalc.jobs import Counts, Subject
from vggcalc.runtime.building import build


def count(subject: Subject) -> Counts:
    """Parameters and MACs of the built module, MACs and activations by fvcore if it may run.

    torch counts on the meta device, without weights; it reports FLOPs = 2 × MACs. fvcore runs the
    real module, and its "flops" are MACs; only its figures for convolutions and linear layers are
    taken, since its total adds poolings and norms.
    """
    with torch.device("meta"):
        module = build(subject.network).eval()
        image = torch.empty(subject.network.input_shape)
    parameters = sum(parameter.numel() for parameter in module.parameters())
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        module(image)
    fvcore_macs = fvcore_activations = None
    uncounted: dict[str, int] = {}
    if subject.fvcore:
        fvcore_macs, fvcore_activations, uncounted = _fvcore(subject)
    return Counts(
        subject.name, parameters, counter.get_total_flops() // 2, fvcore_macs, fvcore_activations, uncounted
    )


def _fvcore(subject: Subject) -> tuple[int, int, dict[str, int]]:
    from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis

    module = build(subject.network).eval()
    image = torch.zeros(subject.network.input_shape)
    with torch.no_grad():
        flops = FlopCountAnalysis(module, image).unsupported_ops_warnings(False)
        by_operator = flops.by_operator()
        uncounted = {name: int(number) for name, number in flops.unsupported_ops().items()}
        activations = ActivationCountAnalysis(module, image).unsupported_ops_warnings(False).total()
    return int(by_operator["conv"] + by_operator["linear"]), int(activations), uncounted
