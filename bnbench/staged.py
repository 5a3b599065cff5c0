"""How right the quantities of ``numpy_staged`` are, node by node, gradients too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from bnbench.diagnose.cause import QUANTITIES
from bnbench.diagnose.probe_cases import probe_cases
from bnbench.diagnose.quantities import canonical
from bnbench.model import Array


def staged_errors(nodes: Sequence[Any] = ()) -> Mapping[str, float]:
    """The largest error of every quantity relative to its largest value, by the names of :data:`QUANTITIES`.

    The graph of these ``nodes`` (without any, that of ``numpy_staged``) is walked forward and back on one float64
    batch in train mode, and compared with what :func:`bnbench.diagnose.quantities.canonical` computes.
    """
    graph = nodes or import_module("bnbench.implementations.numpy_staged").GRAPH
    inputs, dy = probe_cases("batch")[0]
    known = canonical(inputs, dy)
    values: dict[str, Array] = {
        "x": inputs.x,
        "gamma": inputs.gamma[None],
        "beta": inputs.beta[None],
        "eps": np.array(inputs.options.eps),
    }
    local_vjps = {}
    for node in graph:
        values[node.name], local_vjps[node.name] = node.operation(*(values[name] for name in node.arguments))
    gradients: dict[str, Array] = {"y": dy}
    for node in reversed(graph):
        for name, gradient in zip(node.arguments, local_vjps[node.name](gradients[node.name]), strict=True):
            gradients[name] = gradients.get(name, np.zeros(())) + gradient
    got = {**values, **{f"d{name}": gradient for name, gradient in gradients.items()}}
    return {name: _error(got[name], known[name].wide) for name in QUANTITIES if name in got and name in known}


def _error(got: Array, right: Array) -> float:
    return float(np.abs(np.broadcast_to(got, right.shape) - right).max() / np.abs(right).max())
