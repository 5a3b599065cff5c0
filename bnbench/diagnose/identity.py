"""What is wrong by what was measured: which formula, one piece off the right one, predicts each output to rounding.

It needs no source and knows no list of bugs, so that it explains kernels in C or torch, and mistakes nobody has made
before. The forward is explained first; a backward that follows it is right, and any other is explained on top of it.
What nothing explains is reported with the residuals of its identities: the coefficients are the bug.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import cast

import numpy as np

from bnbench.diagnose.backward_choices import dx_choices, dx_formula, following, mean_path, variance_path
from bnbench.diagnose.cause import Cause, Quantity, Slip
from bnbench.diagnose.forward_choices import y_choices, y_formula
from bnbench.diagnose.hypotheses import Choice, Formula, Pieces, search
from bnbench.diagnose.parameter_choices import parameter_choices, parameter_formula
from bnbench.diagnose.running_choices import running_choices, running_formula
from bnbench.diagnose.terms import Terms
from bnbench.diagnose.trials import EPS, MOMENTUM, Answers, answers_of, settings_of, trials
from bnbench.model import Array, Capabilities, Kernel
from bnbench.projection import RECOGNIZED
from bnbench.tolerances import roundoff

FOLLOWED = frozenset({"block_mean", "mean", "variance", "growth", "centring", "divisor", "slope", "x_hat"})
"""Pieces of a forward that its backward has to follow."""

LEAST_FACTOR = 1000.0
"""How many roundings a factor has to differ from 1 before it is taken for one."""


def by_identity(
    kernel: Kernel, capabilities: Capabilities, *, eps: float = EPS, momentum: float = MOMENTUM
) -> tuple[Cause, ...]:
    """The causes of every wrong output of a kernel; () if it is correct.

    ``eps`` and ``momentum`` are given for implementations that take no others than their own. Raises whatever
    the kernel raises.
    """
    answers = answers_of(kernel, trials(settings_of(capabilities, eps=eps, momentum=momentum)))
    return merged(causes_of(answers, answers.wrong))


def causes_of(answers: Answers, aspects: Sequence[str]) -> Iterator[Cause]:
    """The causes of these wrong outputs, one output after another; none where it follows from what is wrong with y."""
    forwards = {training: tuple(_forwards(answers, training)) for training in {output_of(a)[1] for a in aspects}}
    for aspect in aspects:
        name, training = output_of(aspect)
        given = tuple(answers.of(aspect))
        if _shapes_differ(answers, aspect):
            yield _misshapen(answers, aspect)
        elif not any(np.isfinite(got).all() for _, _, got in given):
            yield undecided(answers, aspect)
        elif name == "y":
            yield from _reported(answers, aspect, forwards[training])
        elif name in {"running_mean", "running_var"}:
            found = search(running_formula(name), running_choices(name, training=training), given)
            yield from _reported(answers, aspect, found)
        else:
            formula, choices = _backward(answers, name, training)
            followed = [pieces for hypothesis in forwards[training][:1] for pieces in _followed(hypothesis)] + [{}]
            fits = [search(following(pieces, formula), choices, given) for pieces in followed]
            yield from _reported(answers, aspect, min(fits, key=lambda found: len(found[0]) if found else np.inf))


def _forwards(answers: Answers, training: bool) -> tuple[tuple[Choice, ...], ...]:
    """What explains a wrong y; () if it is right, or nothing does."""
    aspect = "y" if training else "y in eval mode"
    if aspect not in answers.wrong or _shapes_differ(answers, aspect):
        return ()
    choices = y_choices(training=training, norm=answers.trials[0].inputs.options.norm)
    return search(y_formula, choices, tuple(answers.of(aspect)))


def _followed(hypothesis: tuple[Choice, ...]) -> list[Pieces]:
    """What a backward may follow of a wrong forward: all of it, or all but what is wrong with gamma."""
    pieces = {name: piece for choice in hypothesis for name, piece in choice.pieces.items() if name in FOLLOWED}
    return [pieces, {name: piece for name, piece in pieces.items() if name != "slope"}]


def _backward(answers: Answers, name: Quantity, training: bool) -> tuple[Formula, tuple[Choice, ...]]:
    """The formula of a gradient, and what may be wrong with it."""
    if name == "dx":
        return dx_formula, dx_choices(training=training, norm=answers.trials[0].inputs.options.norm)
    return parameter_formula(name), parameter_choices(name, training=training)


def output_of(aspect: str) -> tuple[Quantity, bool]:
    """The output, and whether in train mode, of ``"dx in eval mode"``."""
    name, _, eval_mode = aspect.partition(" in ")
    return cast("Quantity", name), not eval_mode


def merged(causes: Iterable[Cause]) -> tuple[Cause, ...]:
    """Causes without those that say the same of another output or mode."""
    return tuple({(cause.quantity, cause.slip, cause.sentence): cause for cause in reversed(list(causes))}.values())[
        ::-1
    ]


def _reported(answers: Answers, aspect: str, found: Sequence[tuple[Choice, ...]]) -> tuple[Cause, ...]:
    if not found:
        return (_factor(answers, aspect) or undecided(answers, aspect),)
    first, *others = found
    different = [
        hypothesis
        for hypothesis in others
        if {(c.quantity, c.slip) for c in hypothesis} != {(c.quantity, c.slip) for c in first}
    ]
    values = sum(got.size for _, _, got in answers.of(aspect))
    evidence = (
        f"{aspect} is off by {_size(answers, aspect):.2g} of its largest value; so explained, all {values} values agree"
    )
    if different:
        evidence += "; as well explained by: " + " | ".join(
            dict.fromkeys("; ".join(choice.sentence for choice in hypothesis) for hypothesis in different)
        )
    return tuple(
        Cause(
            quantity=choice.quantity,
            slip=choice.slip,
            sentence=choice.sentence,
            evidence=evidence,
            decided=not different,
        )
        for choice in first
    )


def undecided(answers: Answers, aspect: str, *, hint: str = "") -> Cause:
    """What is known of an output that nothing explains: by how much it is off, and where."""
    name, training = output_of(aspect)
    said = [f"off by {_size(answers, aspect):.2g} of its largest value", *_where(answers, aspect)]
    if name == "dx" and training:
        said += _residuals(answers)
    return Cause(
        quantity=name,
        slip=None,
        sentence=hint or f"{aspect} is wrong, in a way that is not recognized",
        evidence="; ".join(said),
        decided=False,
    )


def _size(answers: Answers, aspect: str) -> float:
    """The largest error of an output relative to its largest right value; inf where it is not finite."""
    sizes = []
    for trial, name, got in answers.of(aspect):
        right = trial.right[name]
        largest = float(np.abs(right).max()) or 1.0
        error = float(np.abs(got - right).max()) / largest if got.shape == right.shape else np.inf
        sizes.append(np.inf if np.isnan(error) else error)
    return max(sizes)


def _where(answers: Answers, aspect: str) -> Iterator[str]:
    """The rows or the channels that hold all of the error, if those are few."""
    for trial, name, got in answers.of(aspect):
        right = trial.right[name]
        with np.errstate(invalid="ignore"):
            off = ~(np.abs(got - right) <= trial.tolerance(name, right))
        if not off.any():
            continue
        if not np.isfinite(got).all():
            yield f"{int((~np.isfinite(got)).sum())} of {got.size} values are not finite"
        axes = {"channels": 1, "rows": 0} if off.ndim > 1 else {"channels": 0}
        for words, axis in axes.items():
            wrong = np.unique(np.nonzero(off)[axis])
            if len(wrong) < off.shape[axis]:
                listed = ", ".join(map(str, wrong))
                yield f"of {off.shape[axis]} {words}, only these are wrong: {listed}"
        return


def _residuals(answers: Answers) -> Iterator[str]:
    """The sums of dx and of dx x_hat over a block, in parts of what the direct path alone would leave."""
    for trial, _, got in answers.of("dx"):
        t = Terms(trial, {})
        dx = got.astype(np.float64) * t.sd
        parts = (("1", np.ones_like(t.x)), ("x_hat", t.centred / t.sd))
        for words, along in parts[t.norm == "rms" :]:
            left, direct = (t.own_blocks(a * along).ravel() for a in (dx, t.g))
            right = t.own_blocks(trial.right["dx"] * t.sd * along).ravel()
            share = float(((left - right) * direct).sum() / (direct**2).sum())
            if abs(share) > 1e-4:
                yield f"the sum of dx {words} over a block is off by {share:.1%} of the sum of g {words} / sd"
        return


def _factor(answers: Answers, aspect: str) -> Cause | None:
    """One unknown factor of the whole output, or of a path of dx, the same in every trial."""
    name, training = output_of(aspect)
    parts: list[tuple[Quantity, str, list[Array]]] = []
    if name in {"dx", "dgamma", "dbeta"}:
        parts.append((name, name, [np.asarray(trial.right[name]) for trial, _, _ in answers.of(aspect)]))
    terms = [Terms(trial, {}) for trial, _, _ in answers.of(aspect)]
    if name == "y":
        parts.append(("scaled", "gamma x_hat", [t.channels("gamma") * t.x_hat for t in terms]))
        parts.append(("beta", "beta", [np.broadcast_to(t.channels("beta"), t.x.shape) for t in terms]))
    if name == "dx" and training:
        if terms[0].norm != "rms":
            parts.append(("dmu", "the path through the mean", [-mean_path(t) / t.sd for t in terms]))
        parts.append(("dvar", "the path through the variance", [-variance_path(t) / t.sd for t in terms]))
    for quantity, words, arrays in parts:
        wide = [np.broadcast_to(a, got.shape) for a, (_, _, got) in zip(arrays, answers.of(aspect), strict=True)]
        lacking = [got - trial.right[name] for trial, _, got in answers.of(aspect)]
        # Trials differ in scale: each weighs the same.
        shares = [float((a * b).sum() / (b * b).sum()) for a, b in zip(lacking, wide, strict=True) if b.any()]
        share = float(np.median(shares))
        if abs(share) < LEAST_FACTOR * roundoff(terms[0].trial.inputs.x.dtype):
            continue
        predicted = [trial.right[name] + share * b for (trial, _, _), b in zip(answers.of(aspect), wide, strict=True)]
        if all(trial.agrees(name, got, p) for (trial, _, got), p in zip(answers.of(aspect), predicted, strict=True)):
            return Cause(
                quantity=quantity,
                slip=Slip.SIGN if abs(share + 2) <= RECOGNIZED else Slip.FACTOR,
                sentence=f"{words} is {1 + share:.9g} times what it should be",
                evidence=f"the same factor in all {len(lacking)} calls: {1 + share:.9g}",
            )
    return None


def _shapes_differ(answers: Answers, aspect: str) -> bool:
    return any(got.shape != trial.right[name].shape for trial, name, got in answers.of(aspect))


def _misshapen(answers: Answers, aspect: str) -> Cause:
    trial, name, got = next(
        (trial, name, got) for trial, name, got in answers.of(aspect) if got.shape != trial.right[name].shape
    )
    return Cause(
        quantity=output_of(aspect)[0],
        slip=Slip.LAYOUT,
        sentence=f"{aspect} has another shape than it should have",
        evidence=f"shape {got.shape}, expected {trial.right[name].shape}",
    )
