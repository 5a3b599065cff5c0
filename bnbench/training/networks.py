"""The networks that are trained: torch's own layers, with a normalization of choice after every hidden one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from bnbench.model import Implementation
from bnbench.training.model import Data, Run

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

GROUPS = 4
"""Of group norm: it divides every width used here."""


def build(run: Run, data: Data, implementations: Mapping[str, Implementation]) -> nn.Module:
    """The network of a run before its first step, in float64.

    The initial weights depend on the seed and the widths alone, so that variants of a seed start alike; biases start
    at zero. Raises what loading the implementation raises, and ValueError for a norm that the network can't hold.
    """
    from torch import nn

    norm = _norm(run, implementations)
    sizes = (data.x.shape[1] if run.network == "conv" else math.prod(data.x.shape[1:]), *run.widths)
    layers: list[nn.Module] = [] if run.network == "conv" else [nn.Flatten()]
    side = data.x.shape[-1]
    for before, after in zip(sizes, run.widths, strict=False):
        layers += [nn.Conv2d(before, after, 3, padding=1) if run.network == "conv" else nn.Linear(before, after)]
        layers += [*norm(after), nn.ReLU()]
        if run.network == "conv" and side > 1:
            layers += [nn.MaxPool2d(2)]
            side //= 2
    if run.network == "conv":
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    model = nn.Sequential(*layers, nn.Linear(run.widths[-1], data.classes)).double()
    _draw_weights(model, run)
    return model


def _norm(run: Run, implementations: Mapping[str, Implementation]) -> Callable[[int], Iterator[nn.Module]]:
    """From a width to the normalization of a stage, or to nothing. All stages share one loaded function."""
    if run.norm is None:
        return lambda _: iter(())
    from bnbench import nn as bridge

    loaded = bridge.load(implementations[run.implementation], run.norm)
    layers: dict[tuple[str, str], Callable[..., nn.Module]] = {
        ("fc", "batch"): bridge.BatchNorm1d,
        ("conv", "batch"): bridge.BatchNorm2d,
        ("fc", "layer"): bridge.LayerNorm,
        ("fc", "group"): partial(bridge.GroupNorm, GROUPS),
        ("conv", "group"): partial(bridge.GroupNorm, GROUPS),
    }
    if (run.network, run.norm) not in layers:
        raise ValueError(f"no {run.norm} norm in a network of kind {run.network}")
    layer = layers[run.network, run.norm]
    return lambda width: iter([layer(width, implementation=loaded)])


def _draw_weights(model: nn.Module, run: Run) -> None:
    import torch

    generator = np.random.default_rng(run.seed)
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d):
                shape = tuple(layer.weight.shape)
                scale = math.sqrt(2 / math.prod(shape[1:])) if run.weight_scale is None else run.weight_scale
                layer.weight.copy_(torch.from_numpy(scale * generator.standard_normal(shape)))
                if layer.bias is not None:
                    layer.bias.zero_()
