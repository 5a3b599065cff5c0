"""A foreign program that can be run again and again: with a record of every value, with values replaced, edited."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from typing import Protocol, TypeAlias

import numpy as np

from bnbench.diagnose.cause import Quantity
from bnbench.diagnose.edits import Edit
from bnbench.diagnose.quantities import Quantities
from bnbench.model import Array, Inputs
from bnbench.sandbox.child.probe import Trace

Definition: TypeAlias = ast.FunctionDef | ast.ClassDef

AGREEMENT = 1e-8
"""Relative to the largest value: rounding on the well conditioned probe cases is below 1e-12, an error above 1e-6."""


class Program(Protocol):
    """The functions of one layer of a submission, on the probe cases of one mode."""

    @property
    def cases(self) -> tuple[tuple[Inputs, Array], ...]:
        """The runs: inputs and cotangent; two or more, of different shapes."""
        ...

    @property
    def definitions(self) -> tuple[Definition, ...]:
        """The functions that are called, and what else of the submission they use, as they stand in the source."""
        ...

    @property
    def answers(self) -> tuple[str, ...]:
        """The names of what a run answers: y, running statistics, gradients."""
        ...

    def trace(self, run: int, replace: Mapping[int, Array] | None = None) -> Trace:
        """One run, recorded; with ``replace``, these events have another value."""
        ...

    def outputs(self, run: int, trace: Trace) -> Mapping[str, Array]:
        """What a recorded run answers, by the names of :attr:`answers`; what is missing is left out."""
        ...

    def overwritten(self, run: int, trace: Trace) -> tuple[str, ...]:
        """The arguments that a recorded run changed in place: x, gamma, beta, dy."""
        ...

    def edited(self, run: int, definition: Definition) -> Mapping[str, Array]:
        """What a run answers with this one of :attr:`definitions` as it is at this moment; empty when it raises."""
        ...

    def corrected(self, definition: Definition, edit: Edit) -> Quantity | None:
        """What the statement that an edit changes then comes to, if that has a name."""
        ...


def expected(quantities: Quantities, names: Iterable[str]) -> dict[str, Array]:
    """The right values of these outputs of a run."""
    after = " (after)" if quantities.inputs.options.training else ""
    moved = {"running_mean": f"running_mean{after}", "running_var": f"running_var{after}"}
    return {output: quantities[moved.get(output, output)].values for output in names}


def agrees(got: Array | None, right: Array) -> bool:
    """Whether an output is right; axes of length 1 around it are no error."""
    if got is None or np.size(got) != right.size or _squeezed(np.asarray(got)) != _squeezed(right):
        return False
    error = np.abs(np.asarray(got).reshape(right.shape) - right).max(initial=0.0)
    return bool(error <= AGREEMENT * max(np.abs(right).max(initial=0.0), 1e-6))


def _squeezed(a: Array) -> tuple[int, ...]:
    return tuple(length for length in a.shape if length != 1)
