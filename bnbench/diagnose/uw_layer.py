"""The layer of UW homework 2: what it keeps between calls, and when it uses it.

A layer is driven through two training batches, a backward pass and one single row, and compared with
what the submission's own stages give: so only mistakes of the layer itself are found here.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bnbench.diagnose.cause import Cause, Quantity, Slip
from bnbench.diagnose.uw_stages import ARGUMENTS, LAYER_RESULTS, ROLLING, Answer, Call, Stage, StageCase
from bnbench.model import Array

AGREES = 1e-4
"""Largest relative difference of two float32 computations of the same; the mistakes are at 1e-2 and more."""


def diagnose_layer(call: Call, case: StageCase) -> tuple[tuple[Cause, ...], str]:
    """Causes of a layer's wrong answers on ``case``, none if all are right, and the status of the call."""
    arguments = tuple(case.arrays[name] for name in ARGUMENTS["forward"])
    answer = call("forward", case.groups, arguments)
    if answer.status != "returned":
        slip = Slip.UNDEFINED if answer.status == "missing" else Slip.RAISES
        sentence = "the layer's forward or backward function is missing, crashes or does not end"
        return (_cause("y", slip, sentence, answer.detail),), answer.status
    got = dict(zip(LAYER_RESULTS, answer.results, strict=True))
    own = _Own(call, case.groups)
    x, x_next, d, row = arguments
    causes = [
        *_rolling("running_mean", got, "mean", own.mean(x), own.mean(x_next), case),
        *_rolling("running_var", got, "variance", own.variance(x), own.variance(x_next), case),
        *_modes(got, own, x, x_next, row),
        *_backward(got, own, x, x_next, d),
    ]
    return tuple(causes), "returned"


class _Own:
    """The submission's stages on its own inputs."""

    def __init__(self, call: Call, groups: int) -> None:
        self.call, self.groups = call, groups

    def stage(self, stage: Stage, *arguments: Array) -> Array:
        answer: Answer = self.call(stage, self.groups, arguments)
        return answer.results[0] if answer.status == "returned" else np.full((1, 1), np.nan)

    def mean(self, x: Array) -> Array:
        return self.stage("mean", x)

    def variance(self, x: Array) -> Array:
        return self.stage("variance", x, self.mean(x))

    def normalized(self, x: Array) -> Array:
        return self.stage("normalize", x, self.mean(x), self.variance(x))

    def gradient(self, d: Array, x: Array) -> Array:
        m, v = self.mean(x), self.variance(x)
        dm, dv = self.stage("delta_mean", d, v), self.stage("delta_variance", d, x, m, v)
        return self.stage("delta_batch_norm", d, dm, dv, m, v, x)


def _cause(quantity: Quantity, slip: Slip | None, sentence: str, evidence: str) -> Cause:
    return Cause(quantity=quantity, slip=slip, sentence=sentence, evidence=evidence, decided=slip is not None)


def _same(a: Array, b: Array) -> bool:
    """Whether two results agree; where the submission's stages give NaN, so may its layer."""
    if a.shape != b.shape:
        return False
    a, b = np.nan_to_num(a.astype(np.float64)), np.nan_to_num(b.astype(np.float64))
    return bool(np.max(np.abs(a - b), initial=0.0) <= AGREES * max(1e-30, float(np.max(np.abs(b), initial=0.0))))


def _rolling(
    quantity: Quantity, got: Mapping[str, Array], name: str, first: Array, second: Array, case: StageCase
) -> list[Cause]:
    """The law ``new = keep old + weight batch`` that the averages follow, from zero, over two batches."""
    after, then = got[f"{name}_1"].astype(np.float64), got[f"{name}_2"].astype(np.float64)
    if not (np.isfinite(first).all() and np.isfinite(second).all() and first.any()):
        return []  # the stage itself is at fault
    elements = case.rows * case.spatial
    first, second = first.astype(np.float64), second.astype(np.float64)
    kinds = {f"the {name}": (first, second)}
    if name == "variance":
        with np.errstate(invalid="ignore"):
            kinds["the standard deviation, not the variance,"] = (np.sqrt(first), np.sqrt(second))
        unbiased = elements / (elements - 1)
        kinds["the variance with divisor M - 1"] = (first * unbiased, second * unbiased)
    if _same(after, ROLLING * first) and _same(then, (1 - ROLLING) * after + ROLLING * second):
        return []
    rolling = "rolling_mean" if name == "mean" else "rolling_variance"
    for what, (one, two) in kinds.items():
        weight = float((after * one).sum() / (one * one).sum())
        left = then - weight * two
        keep = float((left * after).sum() / (after * after).sum()) if after.any() else 1 - weight
        if _same(after, weight * one) and _same(then, keep * after + weight * two):
            words = f"{rolling} becomes {keep:.3g} * {rolling} + {weight:.3g} * {what} of the batch"
            if not after.any():
                words = f"{rolling} is never updated"
            sentence = f"{words}; it must become 0.9 * {rolling} + 0.1 * the {name} of the batch"
            return [_cause(quantity, Slip.STATE, sentence, "two forward passes from zero")]
    sentence = f"{rolling} is wrong after two batches; it must become 0.9 * {rolling} + 0.1 * the {name} of the batch"
    return [_cause(quantity, Slip.STATE, sentence, "two forward passes from zero")]


def _modes(got: Mapping[str, Array], own: _Own, x: Array, x_next: Array, row: Array) -> list[Cause]:
    causes = []
    for name, batch in (("y", x), ("y_next", x_next)):
        if not _same(got[name], own.normalized(batch)):
            slip, words = None, "the forward pass does not give what mean, variance and normalize give"
            zero = np.zeros_like(got["mean_1"])
            averages = [(zero, zero)] + [(got[f"mean_{k}"], got[f"variance_{k}"]) for k in (1, 2)]
            if any(_same(got[name], own.stage("normalize", batch, m, v)) for m, v in averages):
                slip, words = Slip.MODE, "a training batch is normalized by the rolling averages, not by its own"
            causes.append(_cause("y", slip, words, "a forward pass beside the stages"))
            break
    if not _same(got["y_row"], own.stage("normalize", row, got["mean_2"], got["variance_2"])):
        slip, words = None, "one row is not normalized by the rolling averages"
        if _same(got["y_row"], own.normalized(row)):
            slip, words = Slip.MODE, "one row is normalized by its own mean and variance, not by the rolling averages"
        causes.append(_cause("y", slip, words, "a forward pass of a single row"))
    elif not (_same(got["mean_3"], got["mean_2"]) and _same(got["variance_3"], got["variance_2"])):
        words = "the rolling averages change with a batch of one row"
        causes.append(_cause("running_mean", Slip.STATE, words, "a forward pass of a single row"))
    return causes


def _backward(got: Mapping[str, Array], own: _Own, x: Array, x_next: Array, d: Array) -> list[Cause]:
    if _same(got["dx"], own.gradient(d, x_next)):
        return []
    if _same(got["dx"], own.gradient(d, x)):
        words = "the backward pass uses the input of an earlier forward pass; the layer must keep the last one"
        return [_cause("cache", Slip.STATE, words, "a backward pass after two forward passes")]
    words = "the layer's backward pass does not give what its delta functions give"
    return [_cause("dx", None, words, "a backward pass beside the stages")]
