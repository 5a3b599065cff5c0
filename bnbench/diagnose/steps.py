"""The steps of the graph, one by one: formula, derivation, dimension check and the usual slip.

The letters are those of docs/staged_graph.md: x is a length in metres, L a pure number, M the elements that
share a channel (or a row, or a group). The derivations are the chain rule over the nine nodes; the paper has
the same gradients in section 3 (Ioffe and Szegedy 2015, arXiv:1502.03167).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bnbench.diagnose.cause import Quantity


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One quantity: what it is, why, and what people get wrong."""

    quantity: Quantity
    formula: str
    why: str
    shape: str
    unit: str
    slip: str


_STEPS = (
    Step(
        quantity="mu",
        formula="mu = sum(x) / M",
        why="The mean of each feature over the batch; of an image's channel over batch, height and width.",
        shape="one value per feature (channel); layer norm: one per row; group norm: one per row and group",
        unit="m",
        slip="the mean over the whole array, or over the other axis; M taken to be N when x is an image",
    ),
    Step(
        quantity="xc",
        formula="xc = x - mu",
        why="The mean is broadcast to the elements it was taken from.",
        shape="as x",
        unit="m",
        slip="row statistics without keepdims, so that they line up with the wrong axis",
    ),
    Step(
        quantity="sq",
        formula="sq = xc^2",
        why="The first half of the variance.",
        shape="as x",
        unit="m^2",
        slip="x^2 for xc^2: that is the second moment, not the variance",
    ),
    Step(
        quantity="var",
        formula="var = sum(xc^2) / M",
        why="The batch is normalized by its own variance, divisor M; M - 1 belongs, if anywhere, into what is kept.",
        shape="one value per feature, like mu",
        unit="m^2",
        slip="the variance over everything; M - 1; the sum that was never divided",
    ),
    Step(
        quantity="sd",
        formula="sd = sqrt(var + eps)",
        why="eps is added to the variance, before the root: it keeps a constant feature from dividing by zero.",
        shape="one value per feature",
        unit="m",
        slip="sqrt(var) + eps, or no eps at all: on data of size 1 nobody notices, on small data everything changes",
    ),
    Step(
        quantity="inverse_sd",
        formula="inverse_sd = 1 / sd",
        why="Dividing by sd is multiplying by its reciprocal; the backward needs it more than once.",
        shape="one value per feature",
        unit="1/m",
        slip="1 / var: the unit is then 1/m^2, and x_hat is no pure number",
    ),
    Step(
        quantity="x_hat",
        formula="x_hat = xc / sd",
        why="Mean 0 and variance (almost) 1 in every feature.",
        shape="as x",
        unit="a pure number",
        slip="xc - sd: a difference of lengths is a length; or the division by the variance",
    ),
    Step(
        quantity="scaled",
        formula="scaled = gamma x_hat",
        why="The network may undo the normalization, feature by feature.",
        shape="as x",
        unit="a pure number",
        slip="gamma forgotten: invisible while gamma is 1",
    ),
    Step(
        quantity="y",
        formula="y = gamma x_hat + beta",
        why="In test mode the same, with running_mean and running_var in place of mu and var.",
        shape="as x",
        unit="a pure number",
        slip="beta subtracted or forgotten; test mode without gamma and beta, without eps, or with the batch's mean",
    ),
    Step(
        quantity="running_mean",
        formula="running_mean <- (1 - m) running_mean + m mu",
        why="m weighs the new batch. The momentum of cs231n weighs the old: m = 1 - momentum.",
        shape="one value per feature",
        unit="m",
        slip="the two weights swapped; never written back; changed in test mode",
    ),
    Step(
        quantity="running_var",
        formula="running_var <- (1 - m) running_var + m var",
        why="The variance is averaged, without eps; the root is taken when it is used.",
        shape="one value per feature",
        unit="m^2",
        slip="the standard deviation kept instead, eps averaged into it, or the old value overwritten",
    ),
    Step(
        quantity="dbeta",
        formula="dbeta = sum(dy)",
        why="beta was broadcast to M elements of a feature: the gradients of all of them add up.",
        shape="as beta, one value per feature",
        unit="a pure number",
        slip="the mean for the sum, or the sum over the wrong axis",
    ),
    Step(
        quantity="dgamma",
        formula="dgamma = sum(dy x_hat)",
        why="d scaled / d gamma = x_hat, and gamma was broadcast like beta.",
        shape="as gamma, one value per feature",
        unit="a pure number",
        slip="x or xc in place of x_hat; a matrix product that mixes the features; the sum forgotten",
    ),
    Step(
        quantity="dx_hat",
        formula="dx_hat = dy gamma",
        why="scaled = gamma x_hat: the gradient passes through the factor.",
        shape="as x",
        unit="a pure number",
        slip="gamma forgotten: a test with gamma = 1 does not notice",
    ),
    Step(
        quantity="dinverse_sd",
        formula="dinverse_sd = sum(dx_hat xc)",
        why="x_hat = xc inverse_sd, and inverse_sd was broadcast to the M elements of a feature.",
        shape="one value per feature",
        unit="m",
        slip="the sum forgotten, so that it has the shape of x",
    ),
    Step(
        quantity="dsd",
        formula="dsd = -dinverse_sd / sd^2",
        why="d (1/s) / d s = -1/s^2.",
        shape="one value per feature",
        unit="1/m",
        slip="the sign; -1/sd for -1/sd^2, which the unit gives away",
    ),
    Step(
        quantity="dvar",
        formula="dvar = dsd / (2 sd) = -1/2 (var + eps)^(-3/2) sum(dx_hat xc)",
        why="d sqrt(v) / dv = 1 / (2 sqrt(v)), after d (1/s) / ds = -1/s^2: together power -3/2 and factor -1/2.",
        shape="one value per feature",
        unit="1/m^2",
        slip="the factor 1/2 or the minus dropped; the power -1/2 or -2 for -3/2; eps left out here alone",
    ),
    Step(
        quantity="dsq",
        formula="dsq = dvar / M",
        why="Each element has the share 1/M in the mean.",
        shape="as x",
        unit="1/m^2",
        slip="M - 1 here and M in the forward; the division forgotten, or by the number of features",
    ),
    Step(
        quantity="dxc",
        formula="dxc = dx_hat / sd + 2 xc dsq",
        why="xc is used twice, in x_hat and in the variance: the gradients of both paths add up.",
        shape="as x",
        unit="1/m",
        slip="one path overwrites the other; the 2 of the square forgotten",
    ),
    Step(
        quantity="dmu",
        formula="dmu = -sum(dxc)",
        why="mu was subtracted from M elements. The part through the variance is a sum over 2 xc and therefore zero.",
        shape="one value per feature",
        unit="1/m",
        slip="the minus, or the sum, forgotten",
    ),
    Step(
        quantity="dx",
        formula="dx = dxc + dmu / M = gamma / sd (dy - mean(dy) - x_hat mean(dy x_hat))",
        why="x reaches y directly and through the mean. A constant added to x changes nothing, so dx sums to zero.",
        shape="as x",
        unit="1/m",
        slip="the path through the mean, or the path through the variance, left out; dmu not divided by M",
    ),
    Step(
        quantity="cache",
        formula="out, cache = forward(...); dx, dgamma, dbeta = backward(dout, cache)",
        why="What the forward packs, the backward must unpack in the same order.",
        shape="",
        unit="",
        slip="a value added in the forward and not in the backward, so that every name after it holds its neighbour",
    ),
)

STEPS: Mapping[str, Step] = MappingProxyType({step.quantity: step for step in _STEPS})
"""By quantity. What is given (x, gamma, beta, eps, dy) has no step of its own."""
