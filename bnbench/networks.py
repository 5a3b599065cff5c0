"""The gradient check of a whole network, as cs231n's second assignment does it, with any normalization inside.

The network is {affine - norm - relu} x (L - 1) - affine - softmax, its loss the mean cross-entropy plus
L2 regularization of the weights, ``reg / 2 * sum(W^2)``; gamma, beta and biases are not regularized. Beside the
course's metric stands the verdict in units of measured noise (:mod:`bnbench.directions`), which also explains the
figures that look bad and are not: a bias in front of a normalization has a gradient of exactly zero, and
with a batch of two, dx of batch norm is O(eps / v).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TypeAlias, cast

import numpy as np

from bnbench.blocks import groups_of
from bnbench.compare import relative_error
from bnbench.kernels import local_kernel
from bnbench.model import Array, Implementation, Inputs, Kernel, Norm, Options, Status
from bnbench.report.words import GLYPHS, number, visible
from bnbench.tolerances import band
from bnbench.verdict import ArgumentVerdict
from bnbench.verification import verify

STEP = 1e-5
SEED = 231
WEIGHT_SCALE = 5e-2
EPS = 1e-5
REGULARIZATIONS = (0.0, 3.14)

PUBLISHED: Mapping[float, Mapping[str, float]] = {
    0.0: {
        "loss": 2.26,
        "W1": 1.10e-4,
        "W2": 2.85e-6,
        "W3": 4.05e-10,
        "b1": 4.4e-8,
        "b2": 4.4e-8,
        "b3": 1.0e-10,
        "beta1": 7.3e-9,
        "gamma1": 7.0e-9,
    },
    3.14: {"loss": 7.00},
}
"""What the article printed with batch norm, by regularization: the initial loss, and relative errors."""

Parameters: TypeAlias = Mapping[str, Array]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """The size of the network: those of the course by default."""

    rows: int = 2
    inputs: int = 15
    hidden: tuple[int, ...] = (20, 30)
    classes: int = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """A network at its data: everything but its parameters."""

    kernel: Kernel
    norm: Norm
    x: Array
    """``(N, D)``"""
    labels: tuple[int, ...]
    layers: int
    reg: float
    groups: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class ParameterCheck:
    """One row: a parameter, the course's metric and the verdict."""

    verdict: ArgumentVerdict
    relative: float
    """The course's relative error against central differences of h = 1e-5."""
    published: float | None
    """What the article printed; None where there is nothing to compare with."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkCheck:
    """The gradient check of one network."""

    implementation: str
    reg: float
    shape: Shape
    loss: float
    published_loss: float | None
    status: Status
    parameters: tuple[ParameterCheck, ...]
    blame: str = ""
    """The first layer, on the way back from the loss, whose gradients are wrong; "" when none is."""

    @property
    def passed(self) -> bool:
        return self.status is Status.PASSED


def check_network(
    implementation: Implementation,
    *,
    reg: float = 0.0,
    shape: Shape | None = None,
    seed: int = SEED,
    groups: int | None = None,
) -> NetworkCheck:
    """Check every gradient of a network with this implementation inside, in float64.

    ``groups`` are those of group norm (default: 5 for group norm). Raises ValueError for an implementation
    that does not support ``(N, C)`` in float64, or groups that do not divide the layers' widths, and
    whatever loading it raises.
    """
    declared = implementation.capabilities
    if "float64" not in declared.dtypes or 2 not in declared.ranks or declared.norm == "instance":
        raise ValueError(f"{implementation.name} does not normalize (N, C) in float64")
    shape = Shape() if shape is None else shape
    groups = groups or (5 if declared.norm == "group" else 1)
    for width in shape.hidden:
        groups_of(width, declared.norm, groups)
    published = PUBLISHED.get(reg, {}) if (declared.norm, shape, seed) == ("batch", Shape(), SEED) else {}

    x, labels, parameters = notebook_draws(shape, reg, seed)
    network = Network(
        kernel=local_kernel(implementation.load()),
        norm=declared.norm,
        x=x,
        labels=labels,
        layers=len(shape.hidden) + 1,
        reg=reg,
        groups=groups,
    )
    loss, gradients = loss_and_gradients(network, parameters)
    names = tuple(parameters)

    def forward(*arrays: Array) -> float:
        return loss_of(network, dict(zip(names, arrays, strict=True)))

    def backward(dy: Array, *arrays: Array) -> tuple[Array, ...]:
        found = loss_and_gradients(network, dict(zip(names, arrays, strict=True)))[1]
        return tuple(dy * found[name] for name in names)

    verdict = verify(forward, backward, *parameters.values(), names=names, elements=0)
    rows = tuple(
        ParameterCheck(
            verdict=one,
            relative=relative_error(
                element_by_element(partial(loss_of, network), parameters, one.name), gradients[one.name]
            ),
            published=published.get(one.name),
        )
        for one in verdict.arguments
    )
    return NetworkCheck(
        implementation=implementation.name,
        reg=reg,
        shape=shape,
        loss=loss,
        published_loss=published.get("loss"),
        status=verdict.status,
        parameters=rows,
        blame=_blame({one.name: one.status for one in verdict.arguments}, network.layers),
    )


def notebook_draws(shape: Shape, reg: float, seed: int = SEED) -> tuple[Array, tuple[int, ...], dict[str, Array]]:
    """Data, labels and parameters as the course's notebook draws them, from NumPy's legacy stream.

    One network is made after the other, without regularization and with; the second continues the stream.
    """
    legacy = np.random.RandomState(seed)
    x = legacy.randn(shape.rows, shape.inputs)
    labels = tuple(int(label) for label in legacy.randint(shape.classes, size=shape.rows))
    widths = (shape.inputs, *shape.hidden, shape.classes)
    parameters: dict[str, Array] = {}
    for _ in range(1 + (reg != REGULARIZATIONS[0])):
        for layer, (before, after) in enumerate(pairwise(widths), start=1):
            parameters[f"W{layer}"] = WEIGHT_SCALE * legacy.randn(before, after)
            parameters[f"b{layer}"] = np.zeros(after)
            if layer < len(widths) - 1:
                parameters[f"gamma{layer}"] = np.ones(after)
                parameters[f"beta{layer}"] = np.zeros(after)
    return x, labels, parameters


def softmax_loss(scores: Array, labels: tuple[int, ...]) -> tuple[float, Array]:
    """The mean cross-entropy of scores ``(N, C)``, shifted by the row maximum, and its gradient (p - onehot) / N."""
    rows = np.arange(len(scores))
    shifted = scores - scores.max(1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    gradient = np.exp(log_p)
    gradient[rows, labels] -= 1
    return float(-log_p[rows, labels].mean()), gradient / len(scores)


def loss_of(network: Network, parameters: Parameters) -> float:
    """The loss alone."""
    return softmax_loss(_activations(network, parameters)[-1], network.labels)[0] + _penalty(network, parameters)


def loss_and_gradients(network: Network, parameters: Parameters) -> tuple[float, dict[str, Array]]:
    """The loss, and its gradient with respect to every parameter."""
    activations = _activations(network, parameters)
    loss, upstream = softmax_loss(activations[-1], network.labels)
    gradients: dict[str, Array] = {}
    for layer in range(network.layers, 0, -1):
        before, weight = activations[layer - 1], parameters[f"W{layer}"]
        if layer < network.layers:
            upstream = upstream * (activations[layer] > 0)
            inputs = _norm_inputs(network, parameters, layer, before @ weight + parameters[f"b{layer}"])
            upstream, gradients[f"gamma{layer}"], gradients[f"beta{layer}"] = network.kernel(
                inputs, upstream
            ).gradients[0]
        gradients[f"W{layer}"] = before.T @ upstream + network.reg * weight
        gradients[f"b{layer}"] = upstream.sum(0)
        upstream = upstream @ weight.T
    return loss + _penalty(network, parameters), gradients


def element_by_element(loss: object, parameters: Parameters, name: str) -> Array:
    """The numeric gradient as cs231n's ``eval_numerical_gradient`` takes it: two evaluations an element."""
    call = cast("partial[float]", loss)
    gradient = np.zeros_like(parameters[name])
    for index in np.ndindex(gradient.shape):
        above, below = parameters[name].copy(), parameters[name].copy()
        above[index] += STEP
        below[index] -= STEP
        gradient[index] = (call({**parameters, name: above}) - call({**parameters, name: below})) / (2 * STEP)
    return gradient


def _activations(network: Network, parameters: Parameters) -> list[Array]:
    """The input, what every hidden layer passes on, and the scores."""
    activations = [network.x]
    for layer in range(1, network.layers + 1):
        a = activations[-1] @ parameters[f"W{layer}"] + parameters[f"b{layer}"]
        if layer < network.layers:
            a = np.maximum(network.kernel(_norm_inputs(network, parameters, layer, a)).y, 0)
        activations.append(a)
    return activations


def _norm_inputs(network: Network, parameters: Parameters, layer: int, x: Array) -> Inputs:
    gamma, beta = parameters[f"gamma{layer}"], parameters[f"beta{layer}"]
    start = np.zeros_like(gamma)
    options = Options(norm=network.norm, groups=network.groups, eps=EPS)
    return Inputs(x=x, gamma=gamma, beta=beta, running_mean=start, running_var=start, options=options)


def _penalty(network: Network, parameters: Parameters) -> float:
    weights = (parameters[f"W{layer}"] for layer in range(1, network.layers + 1))
    return float(network.reg / 2 * sum((weight**2).sum() for weight in weights))


def _blame(statuses: Mapping[str, Status], layers: int) -> str:
    """The first wrong gradient from the loss backwards, in words.

    A wrong dx of a normalization shows in everything before it, and first in the affine layer before it.
    """
    for layer in range(layers - 1, 0, -1):
        for name, what in (
            (f"gamma{layer}", f"dgamma of normalization {layer}"),
            (f"beta{layer}", f"dbeta of normalization {layer}"),
            (f"W{layer}", f"dx of normalization {layer}"),
            (f"b{layer}", f"dx of normalization {layer}"),
        ):
            if statuses.get(name) is Status.FAILED:
                return what
    return ""


def network_table(check: NetworkCheck) -> str:
    """The check as text, for a terminal: a line for the network, then one for each parameter."""
    shape = check.shape
    sizes = "-".join(map(str, (shape.inputs, *shape.hidden, shape.classes)))
    published = f" (published {check.published_loss:.2f})" if check.published_loss is not None else ""
    rows = [("", "parameter", "published", "relative error", "z")]
    remarks = []
    for parameter in check.parameters:
        one = parameter.verdict
        remarks += [f"{one.name}: {remark}" for remark in (one.reason, *one.notes) if remark]
        rows.append(
            (
                GLYPHS[one.status],
                one.name,
                "" if parameter.published is None else f"{parameter.published:.2e}",
                f"{parameter.relative:.2e} ({band(parameter.relative)})",
                number(one.z),
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        f"{GLYPHS[check.status]} {visible(check.implementation)} {check.status}",
        f"{sizes}, N = {shape.rows}, reg = {check.reg:g}: initial loss {check.loss:.4f}{published}",
        *("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows),
        *remarks,
    ]
    if check.blame:
        lines.append(f"the first wrong gradient on the way back: {check.blame}")
    return "\n".join(line.rstrip() for line in lines)
