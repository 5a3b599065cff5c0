"""The full Jacobian of a kernel, compressed over its blocks, and what its error says about the bug.

Blocks are independent, so position j is moved in all of them at once: six evaluations of the forward
for every position, 6 M in all, give every block ``dy_i / dx_j`` of ``(M, M)`` to sixth order (Curtis,
Powell and Reid, "On the estimation of sparse Jacobian matrices", 1974). The backward answers M
cotangents of one forward call, each 1 at one position of every block. Both Jacobians are ``(B, M, M)``
in float64: two such arrays, and as much again for the differences, 8 B M^2 bytes each.

That blocks are independent is certified, not assumed: :func:`dependent_elements`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bnbench.blocks import from_blocks, per_channel, to_blocks
from bnbench.differences import scale_of
from bnbench.extrapolation import LEVELS, ROMBERG_GAIN, romberg
from bnbench.model import Array, Inputs, Kernel
from bnbench.tolerances import roundoff


@dataclass(frozen=True, kw_only=True, slots=True)
class Jacobian:
    """``dy_i / dx_j`` of every block, ``[b, i, j]``, in units of gamma_i / s_b.

    In these units a right train-mode Jacobian is I - 11'/M - x_hat x_hat'/M whatever the data. Rows
    whose gamma is 0 keep the unit 1 / s.
    """

    numeric: Array
    """Of the forward, ``(B, M, M)``."""
    analytic: Array
    """Of the backward, ``(B, M, M)``."""
    gamma: Array
    """At every element, ``(B, M)``."""
    x_hat: Array
    """(x - mu) / s, ``(B, M)``."""
    through: tuple[int, int]
    """Whether x acts on y through mu, and through v: (1, 1) but in RMS norm (0, 1) and in eval mode (0, 0)."""
    noise: Array
    """How well a block of ``numeric`` is known, ``(B,)``: rounding and truncation of one element."""

    @property
    def deviation(self) -> Array:
        """The largest ``|numeric - analytic|`` of every block, ``(B,)``; inf where it is not a number."""
        with np.errstate(invalid="ignore"):
            distance = np.abs(self.numeric - self.analytic).max((1, 2))
        return np.where(np.isnan(distance), np.inf, distance)


def jacobian(kernel: Kernel, inputs: Inputs) -> Jacobian:
    """Both Jacobians of ``y`` with respect to ``x``: 6 M + 1 forward calls, M cotangents in one of them."""
    scale = scale_of(inputs)
    norm, groups, shape = inputs.options.norm, inputs.options.groups, inputs.x.shape

    def blocks(a: Array) -> Array:
        return to_blocks(a.astype(np.float64), norm, groups)

    def whole(a: Array) -> Array:
        return np.ascontiguousarray(from_blocks(a, shape, norm))

    x = to_blocks(inputs.x, norm, groups)
    count, elements = x.shape

    def y(moved: Array) -> Array:
        return blocks(kernel(replace(inputs, x=whole(moved))).y)

    def moved(position: int, distance: Array) -> Array:
        there = x.copy()
        there[:, position] += distance.astype(x.dtype)
        return there

    gamma = blocks(np.broadcast_to(per_channel(inputs.gamma, inputs.x.ndim), shape))
    unit = np.where(gamma == 0, 1.0, gamma) / scale.sd[:, np.newaxis]
    numeric = np.empty((count, elements, elements))
    truncation = np.zeros(count)
    for position in range(elements):
        estimates = []
        for level in range(LEVELS):
            ahead, behind = (moved(position, sign * scale.step / 2**level) for sign in (1, -1))
            realised = ahead[:, position].astype(np.float64) - behind[:, position]
            estimates.append((y(ahead) - y(behind)) / (realised[:, np.newaxis] * unit))
        numeric[:, :, position], last = romberg(estimates)
        truncation = np.maximum(truncation, last.max(1))

    def unit_cotangent(position: int) -> Array:
        one = np.zeros_like(x)
        one[:, position] = 1
        return whole(one)

    gradients = kernel(inputs, *(unit_cotangent(position) for position in range(elements))).gradients
    analytic = np.stack([blocks(g.dx) for g in gradients], axis=1) / unit[:, :, np.newaxis]

    if norm == "batch" and not inputs.options.training:
        mean, through = inputs.running_mean.astype(np.float64)[:, np.newaxis], (0, 0)
    elif norm == "rms":
        mean, through = np.zeros((count, 1)), (0, 1)
    else:
        mean, through = blocks(inputs.x).mean(1, keepdims=True), (1, 1)
    rounding = ROMBERG_GAIN * roundoff(inputs.x.dtype) * scale.kappa * scale.sd / scale.step
    return Jacobian(
        numeric=numeric,
        analytic=analytic,
        gamma=gamma,
        x_hat=(blocks(inputs.x) - mean) / scale.sd[:, np.newaxis],
        through=through,
        noise=rounding + truncation,
    )


def dependent_elements(kernel: Kernel, inputs: Inputs, others: Array) -> npt.NDArray[np.intp]:
    """How often each element of y changed when only other blocks did: an array shaped as x, all 0 if independent.

    Group testing: for each bit of the block's number, all blocks in which it is 0, then all in which it
    is 1, are replaced by those of ``others`` (shaped as x); what was not replaced must keep its bits. Any two
    blocks differ in a bit, so every dependence of one block on another is met, with
    ``2 ceil(log2 B) + 1`` forward calls. An implementation whose bits vary from call to call fails here too.
    """
    norm, groups, shape = inputs.options.norm, inputs.options.groups, inputs.x.shape
    x, other = (to_blocks(a, norm, groups) for a in (inputs.x, others))
    bits = f"u{inputs.x.dtype.itemsize}"

    def y(blocks: Array) -> npt.NDArray[np.unsignedinteger]:
        wide = np.ascontiguousarray(from_blocks(blocks, shape, norm))
        return to_blocks(kernel(replace(inputs, x=wide)).y, norm, groups).view(bits)

    alone = y(x)
    numbers = np.arange(len(x))
    changed = np.zeros(x.shape, dtype=np.intp)
    for bit in range((len(x) - 1).bit_length()):
        for value in (0, 1):
            replaced = (numbers >> bit & 1) == value
            now = y(np.where(replaced[:, np.newaxis], other, x))
            changed += (now != alone) & ~replaced[:, np.newaxis]
    return from_blocks(changed, shape, norm)
