"""Which known bug is it? Outputs on the trials, compared with those of every mutant.

Outputs are matched one by one, each in each mode, so that two unrelated bugs are both named. A wrong forward beside a
wrong backward is matched by a recipe with the pieces of two mutants, because the backward then works on what the wrong
forward left.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from bnbench.diagnose.cause import Quantity, Slip
from bnbench.diagnose.trials import EPS, MOMENTUM, Answers, Settings, answers_of, named, settings_of, trials
from bnbench.kernels import local_kernel
from bnbench.model import Array, Capabilities, Forward, GroupedForward, Kernel
from bnbench.mutants import ALL_MUTANTS, CORRECT, Mutant, forward_of

BY_NAME: Mapping[str, Mutant] = {mutant.name: mutant for mutant in ALL_MUTANTS}
MODES = {"y": "", "y in eval mode": " in eval mode"}
BACKWARD_PIECES = frozenset({"dx", "dgamma", "dbeta", "slope"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Named:
    """Wrong outputs that a known bug explains to rounding on every trial."""

    aspects: tuple[str, ...]
    """The outputs: ``"dx"``, ``"y in eval mode"``."""
    mutants: tuple[Mutant, ...]
    """The bugs that explain them, and can't be told apart here."""

    @property
    def causes(self) -> tuple[tuple[Slip, Quantity], ...]:
        """The different causes of these bugs."""
        return tuple(dict.fromkeys(mutant.cause for mutant in self.mutants if mutant.cause))


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    """What the mutants explain of a kernel's wrong outputs."""

    named: tuple[Named, ...]
    unexplained: tuple[str, ...]
    """Wrong outputs that are no mutant's."""


def by_mutant(kernel: Kernel, capabilities: Capabilities, *, eps: float = EPS, momentum: float = MOMENTUM) -> Match:
    """Match a kernel with every mutant of its norm. A correct kernel matches none.

    ``eps`` and ``momentum`` are given for implementations that take no others than their own. Raises whatever
    the kernel raises.
    """
    settings = settings_of(capabilities, eps=eps, momentum=momentum)
    return match(settings, answers_of(kernel, trials(settings)))


def match(settings: Settings, answers: Answers) -> Match:
    """Match answers to the trials of these settings."""
    wrong = answers.wrong
    if not wrong:
        return Match(named=(), unexplained=())
    known = {mutant.name: mutant for mutant in ALL_MUTANTS if mutant.norm == settings.norm}
    agreeing = {
        aspect: _agreeing(known, settings, answers, aspect) if aspect in wrong else _harmless(settings, aspect)
        for aspect in answers.aspects
    }
    whole = frozenset(known).intersection(*agreeing.values())
    if whole:
        return Match(named=(_named(wrong, whole, known),), unexplained=())

    explaining = {aspect: _believable(aspect, agreeing, settings) for aspect in wrong}
    found: list[Named] = []
    left = wrong
    while left:
        explained = {name: tuple(aspect for aspect in left if name in explaining[aspect]) for name in known}
        most = max(explained.values(), key=len)
        if not most:
            break
        names = {name for name, aspects in explained.items() if aspects == most}
        found.append(_named(most, _of_the_forward(names, known) if {*most} & {*MODES} else names, known))
        left = tuple(aspect for aspect in left if aspect not in most)
    for forwards in tuple(found):
        modes = [MODES[aspect] for aspect in forwards.aspects if aspect in MODES]
        same_mode = [aspect for aspect in left if aspect.removeprefix(aspect.partition(" in ")[0]) in modes]
        backwards = tuple(_backwards(forwards.mutants, known, settings, answers, same_mode))
        found += backwards
        left = tuple(aspect for aspect in left if not any(aspect in each.aspects for each in backwards))
    return Match(named=tuple(found), unexplained=left)


def _believable(aspect: str, agreeing: Mapping[str, frozenset[str]], settings: Settings) -> frozenset[str]:
    """The mutants that agree in an output, without a disagreement that speaks against them.

    Other outputs than y follow from x_hat, so that they are a mutant's only where y is the mutant's as well. A mutant
    that would be wrong in train mode too does not explain eval mode alone: few things can go wrong there, and
    different bugs look alike.
    """
    name, _, eval_mode = aspect.partition(" in ")
    if name == "y":
        return agreeing[aspect]
    same = agreeing[aspect] & agreeing[f"y in {eval_mode}" if eval_mode else "y"]
    return same & (agreeing[name] | _harmless(settings, name)) if eval_mode else same


def _of_the_forward(names: Collection[str], known: Mapping[str, Mutant]) -> Collection[str]:
    """Those whose bug is in the forward, if any: the others' own bug, in the backward, did not show."""
    causes = {name: known[name].cause for name in names}
    forward = [name for name, cause in causes.items() if cause is None or not cause[1].startswith("d")]
    return forward or names


def _named(aspects: tuple[str, ...], names: Collection[str], known: Mapping[str, Mutant]) -> Named:
    return Named(aspects=aspects, mutants=tuple(mutant for name, mutant in known.items() if name in names))


def _backwards(
    forwards: Iterable[Mutant], known: Mapping[str, Mutant], settings: Settings, answers: Answers, left: Iterable[str]
) -> Iterator[Named]:
    """Backward bugs that explain what is left, each on top of a wrong forward."""
    only_backward = [name for name, m in known.items() if m.pieces and m.pieces.keys() <= BACKWARD_PIECES]
    for aspect in left:
        for forward in forwards:
            pairs = {f"{forward.name} + {name}": name for name in only_backward} if forward.pieces else {}
            agreeing = _agreeing(pairs, settings, answers, aspect)
            if agreeing:
                yield _named((aspect,), {pairs[pair] for pair in agreeing}, known)
                break


def _agreeing(names: Iterable[str], settings: Settings, answers: Answers, aspect: str) -> frozenset[str]:
    """The mutants whose output in this mode is the kernel's, on every trial."""
    given = [(number, trial, name, got) for number, (trial, name, got) in answers.numbered(aspect)]

    def agrees(mutant: str) -> bool:
        return all(
            expected is not None and trial.agrees(name, got, expected)
            for number, trial, name, got in given
            for expected in [_answer(mutant, settings, number).get(name)]
        )

    return frozenset(mutant for mutant in names if agrees(mutant))


@functools.cache
def _harmless(settings: Settings, aspect: str) -> frozenset[str]:
    """The mutants whose output in this mode is right."""
    made = trials(settings)
    names = [mutant.name for mutant in ALL_MUTANTS if mutant.norm == settings.norm]
    right = Answers(trials=made, outputs=tuple(trial.right for trial in made))
    return _agreeing(names, settings, right, aspect)


@functools.cache
def _answer(name: str, settings: Settings, number: int) -> Mapping[str, Array]:
    """What a mutant, or a pair of them, makes of one trial; nothing where it raises."""
    trial = trials(settings)[number]
    try:
        with np.errstate(all="ignore"):
            return named(local_kernel(_maker(name)())(trial.inputs, trial.dy))
    except (ValueError, TypeError, IndexError):
        return {}


def _maker(name: str) -> Callable[[], Forward | GroupedForward]:
    """How to make a mutant, or ``"forward + backward"``: the pieces of two, the second's before the first's."""
    forward, _, backward = (BY_NAME.get(part) for part in name.partition(" + "))
    if forward is None:
        raise KeyError(name)
    if backward is None:
        return forward.make
    recipe = replace(CORRECT, **{**forward.pieces, **backward.pieces})
    return partial(forward_of, recipe, forward.norm)
