"""What an item of the kind cs231n runs: on which layer, in which mode, on which cases, and what of it counts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from bnbench.adapters.cs231n import LAYERS, Layer
from bnbench.checks import ALL_CHECKS
from bnbench.grading.assignment import BACKWARD_OUTPUTS, FORWARD_OUTPUTS
from bnbench.grading.model import Item
from bnbench.model import Case, Check, Comparison, Finding, Status
from bnbench.runner import judge

OUTPUTS = frozenset((*FORWARD_OUTPUTS, *BACKWARD_OUTPUTS))

_PLAIN = Case(shape=(9, 5), mean=1.5, sd=2.0)
_VARIANCE_NEAR_EPS = Case(shape=(8, 7), sd=1e-2, eps=1e-2, momentum=0.25, seed=1)
"""The case that tells every wrong place of eps; with another momentum than the default, so that it is read."""

# All sizes differ, and groups differ from channels in a group: axes and counts mixed up show.
_SHAPES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "batchnorm": ((9, 5), (8, 7)),
    "batchnorm_alt": ((9, 5), (8, 7)),
    "layernorm": ((7, 9), (4, 15)),
    "spatial_batchnorm": ((3, 5, 2, 4), (4, 3, 5, 2)),
    "spatial_groupnorm": ((2, 6, 3, 4), (3, 8, 2, 5)),
}
_GROUPS = (3, 2)


def layer_of(item: Item) -> Layer:
    """The layer whose forward or backward the item is about."""
    return next(layer for layer in LAYERS if item.function in {layer.backward, layer.forward})


def checks_of(item: Item) -> tuple[Check, ...]:
    """The item's checks, in the order in which checks run."""
    return tuple(check for check in ALL_CHECKS if check.code in item.checks)


def cases_of(item: Item) -> tuple[Case, ...]:
    """The cases of the item: ordinary data, and data whose variance is near eps; in float64.

    The mode is that of the item's checks; where none of them has one, both. The course defines a backward for train
    mode alone. Seeds are those of visible samples: a grader replaces them.
    """
    layer = layer_of(item)
    modes = {check.training for check in checks_of(item)} - {None}
    training = [True, False] if layer.norm == "batch" and not modes else sorted({bool(mode) for mode in modes})
    if layer.norm != "batch" or item.function == layer.backward:
        training = [True]
    plain, near = _SHAPES[layer.name]
    cases = (replace(_PLAIN, shape=plain), replace(_VARIANCE_NEAR_EPS, shape=near))
    return tuple(
        replace(case, norm=layer.norm, groups=groups if layer.norm == "group" else 1, training=mode)
        for mode in training
        for case, groups in zip(cases, _GROUPS, strict=True)
    )


def verdict(item: Item, findings: Sequence[Finding]) -> Status:
    """What findings on an item's cases come to, counting only what is about its outputs.

    One that failed fails the item, whatever errored, was vacuous or left nothing to count is not passed either.
    """
    statuses = [_status(item, finding) for finding in findings if finding.status is not Status.SKIPPED]
    for bad in (Status.FAILED, Status.ERRORED, Status.VACUOUS):
        if bad in statuses:
            return bad
    return Status.PASSED if Status.PASSED in statuses else Status.ERRORED


def counts(item: Item, comparison: Comparison) -> bool:
    """Whether a comparison is about the item's outputs; one that names no output always is."""
    named = OUTPUTS & set(re.findall(r"\w+", comparison.quantity))
    return not item.outputs or not named or not named.isdisjoint(item.outputs)


def _status(item: Item, finding: Finding) -> Status:
    if not finding.comparisons:
        return finding.status
    counted = [comparison for comparison in finding.comparisons if counts(item, comparison)]
    # A check of which nothing counts says nothing about the item.
    return judge(counted)[0] if counted else Status.SKIPPED
