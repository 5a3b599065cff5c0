"""What can be wrong with the running statistics: what is averaged, how it is weighed, and what mistake each is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from bnbench.blocks import to_blocks
from bnbench.diagnose.cause import Quantity, Slip
from bnbench.diagnose.hypotheses import Choice, Pieces
from bnbench.diagnose.trials import Trial
from bnbench.model import Array

Move: TypeAlias = Callable[[Array, Array, float], Array]
"""From the old value, the batch's and momentum to the new value."""


def running_formula(name: Quantity) -> Callable[[Trial, Pieces], Array]:
    """The formula of running_mean or running_var, of pieces ``kept`` and ``moved``."""

    def formula(trial: Trial, pieces: Pieces) -> Array:
        inputs = trial.inputs
        old = getattr(inputs, name).astype(np.float64)
        blocks = to_blocks(inputs.x.astype(np.float64), "batch")
        declared = blocks.shape[1] / (blocks.shape[1] - trial.ddof)
        right = blocks.mean(1) if name == "running_mean" else blocks.var(1) * declared
        kept = pieces["kept"](trial, blocks) if "kept" in pieces else right
        moved = pieces.get("moved", _moved if trial.training else _unmoved)
        return np.asarray(moved(old, kept, inputs.options.momentum))

    return formula


def _unmoved(old: Array, new: Array, momentum: float) -> Array:  # noqa: ARG001 - the shape of a rule
    return old


def _moved(old: Array, new: Array, momentum: float) -> Array:
    return (1 - momentum) * old + momentum * new


_MOVES: Mapping[str, Move] = {
    "is never updated": _unmoved,
    "is replaced by the batch's": lambda _, new, __: new,
    "weighs old and new the wrong way round": lambda old, new, m: m * old + (1 - m) * new,
    "forgets the old value": lambda _, new, m: m * new,
    "adds the new to all of the old": lambda old, new, m: old + m * new,
    "adds all of the new to the old": lambda old, new, m: (1 - m) * old + new,
    "is the plain sum of old and new": lambda old, new, _: old + new,
    "is the mean of old and new, whatever momentum is": lambda old, new, _: 0.5 * old + 0.5 * new,
    "is updated twice": lambda old, new, m: (1 - m) ** 2 * old + (1 - (1 - m) ** 2) * new,
    "is moved by momentum subtracted": lambda old, new, m: (1 - m) * old - m * new,
    "has a momentum of 0.1 whatever is asked for": lambda old, new, _: 0.9 * old + 0.1 * new,
    "has a momentum of 0.9 whatever is asked for": lambda old, new, _: 0.1 * old + 0.9 * new,
}


def running_choices(name: Quantity, *, training: bool) -> tuple[Choice, ...]:
    """Pieces of running_mean or running_var that may be wrong."""
    in_eval = {"is updated in test mode": _moved} | {
        f"{w}, in test mode": r for w, r in _MOVES.items() if r is not _unmoved
    }
    moves: Mapping[str, Move] = _MOVES if training else in_eval
    choices = [
        Choice(pieces={"moved": rule}, quantity=name, slip=Slip.STATE, sentence=f"{name} {words}")
        for words, rule in moves.items()
    ]

    def kept(rule: Callable[[Trial, Array], Array], slip: Slip, sentence: str) -> None:
        choices.append(Choice(pieces={"kept": rule}, quantity=name, slip=slip, sentence=f"{name} {sentence}"))

    def of_y(trial: Trial, _: Array) -> Array:
        blocks = to_blocks(trial.right["y"], "batch")
        return np.asarray(blocks.mean(1) if name == "running_mean" else blocks.var(1))

    kept(of_y, Slip.OPERAND, "averages the statistics of y, not those of x")
    if name == "running_mean":
        kept(lambda _, b: b.var(1), Slip.ORDER, "averages the variance of the batch: swapped")
        kept(lambda _, b: b.sum(1), Slip.COUNT, "averages the sum of x, not its mean")
        kept(lambda _, b: np.full(len(b), b.mean()), Slip.REDUCTION, "averages the mean of all of x")
        return tuple(choices)
    kept(lambda _, b: b.mean(1), Slip.ORDER, "averages the mean of the batch: swapped")
    kept(lambda _, b: np.full(len(b), b.var()), Slip.REDUCTION, "averages the variance of all of x")
    for ddof in (0, 1, -1):
        rest = f"M - {ddof}" if ddof > 0 else "M + 1" if ddof else "M"

        def divided(_: Trial, b: Array, ddof: int = ddof) -> Array:
            return np.asarray(b.var(1) * b.shape[1] / max(b.shape[1] - ddof, 1))

        kept(divided, Slip.COUNT, f"keeps the variance with divisor {rest}, which is not what is declared")
    kept(lambda _, b: b.var(1) * b.shape[1], Slip.COUNT, "keeps a sum of squares, not their mean")
    kept(lambda _, b: b.std(1), Slip.STATE, "keeps the standard deviation, not the variance")
    kept(lambda t, b: b.var(1) + t.inputs.options.eps, Slip.EPS, "keeps var + eps, not the variance")
    kept(lambda t, b: np.sqrt(b.var(1) + t.inputs.options.eps), Slip.STATE, "keeps sqrt(var + eps), not the variance")
    kept(lambda t, b: 1 / np.sqrt(b.var(1) + t.inputs.options.eps), Slip.STATE, "keeps 1 / sqrt(var + eps)")
    kept(lambda _, b: (b**2).mean(1), Slip.OPERAND, "keeps the mean of x^2, not the variance")
    return tuple(choices)
