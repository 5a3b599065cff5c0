"""A layer of a handed-in file of cs231n as a kernel: arrays go to its worker, and arrays come back.

The forward and the vjps of a point, and all the points of a batch, cross in one frame. What the functions are called
with and what is taken of their answers is said by :mod:`bnbench.adapters.cs231n`, as for a file of one's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from bnbench.adapters.cs231n import (
    GRADIENTS,
    Layer,
    NoBackwardError,
    batch_arguments,
    batch_outputs,
    gradients,
    no_backward_in_test_mode,
    row_arguments,
    row_outputs,
    takes_spread_gamma,
)
from bnbench.adapters.cs231n_answers import AnswerShapeError, AnswerTypeError, Remarks
from bnbench.adapters.sandboxed import SandboxedFile
from bnbench.kernels import ARGUMENTS, Point, bound
from bnbench.model import Array, Gradients, Inputs, Outputs
from bnbench.sandbox.answers import Answer, AtMost, Call, Handle, Keep, Other

RUNNING = ("running_mean", "running_var")
FRAME = 1 << 20
"""Bytes of x and cotangents that go out together."""
_CACHE, _BESIDE = 0, 1
"""Where the worker keeps the caches: no point of a batch needs that of another."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Plan:
    """The calls of one point."""

    inputs: Inputs
    arguments: tuple[Any, ...]
    beside: tuple[Any, ...] | None
    dys: tuple[Array, ...]
    calls: tuple[Call, ...]


class SandboxedKernel:
    """A :class:`bnbench.kernels.BatchKernel` over one layer of a file.

    Raises what the adapter raises, ValueError and TypeError where the submission does, SubmissionError and
    SandboxError. An array that a backward changes is reported in ``Outputs.mutated`` even if it is the forward's.
    """

    def __init__(self, file: SandboxedFile, layer: Layer, remarks: Remarks, *, has_backward: bool) -> None:
        self._file, self._layer, self._remarks = file, layer, remarks
        self._has_backward = has_backward
        self._spread = takes_spread_gamma(layer, self._called, remarks)
        self.refused = ""
        """Why an answer was none, of the first that was not: a wrong shape, None, another number of values."""

    def __call__(self, inputs: Inputs, /, *dys: Array, beside: Inputs | None = None) -> Outputs:
        plan = self._plan(inputs, dys, beside)
        return self._taken(plan, self._file.answers(plan.calls))

    def batch(self, points: Iterable[Point], /) -> Iterator[Outputs]:
        for plans in _frames(self._plan(inputs, dys) for inputs, dys in points):
            answers = self._file.answers([call for plan in plans for call in plan.calls])
            for plan in plans:
                yield self._taken(plan, answers)

    def _plan(self, inputs: Inputs, dys: tuple[Array, ...], beside: Inputs | None = None) -> _Plan:
        arguments = self._arguments(inputs)
        calls = [self._forward(arguments, _CACHE)]
        others = None if beside is None else self._arguments(beside)
        if others is not None:
            calls.append(self._forward(others, _BESIDE))
        if not self._no_backward(inputs):
            wanted = (AtMost(),) * len(GRADIENTS)
            calls += [Call(function=self._layer.backward, arguments=(dy, Handle(_CACHE)), wanted=wanted) for dy in dys]
        return _Plan(inputs=inputs, arguments=arguments, beside=others, dys=dys, calls=tuple(calls))

    def _arguments(self, inputs: Inputs) -> tuple[Any, ...]:
        if self._layer.norm == "batch":
            return bound(partial(batch_arguments, self._layer), inputs)()
        return bound(partial(row_arguments, self._layer, self._spread), inputs)()

    def _forward(self, arguments: tuple[Any, ...], cache: int) -> Call:
        keys = RUNNING if self._layer.norm == "batch" else ()
        return Call(function=self._layer.forward, arguments=arguments, wanted=(AtMost(), Keep(cache)), keys=keys)

    def _no_backward(self, inputs: Inputs) -> str:
        """Why there is no backward to call; "" where there is one."""
        if self._layer.norm == "batch" and not inputs.options.training:
            return no_backward_in_test_mode(self._layer)
        return "" if self._has_backward else f"{self._layer.backward} is not defined"

    def _taken(self, plan: _Plan, answers: Iterator[Answer]) -> Outputs:
        """The outputs in the answers, each of which is fetched when all before it are what they should be."""
        try:
            forward = next(answers)
            y, running_mean, running_var = self._outputs(plan.arguments, plan.inputs, forward)
            if plan.beside is not None:
                self._outputs(plan.beside, plan.inputs, next(answers))
            if plan.dys and (words := self._no_backward(plan.inputs)):
                raise NoBackwardError(words)
            found = []
            mutated = []
            for _ in plan.dys:
                answer = next(answers)
                results = self._results(self._layer.backward, answer, GRADIENTS)
                found.append(Gradients(*gradients(self._layer, plan.arguments, results, self._remarks)))
                mutated += ["dy"] * bool(answer.changed)
        except (AnswerTypeError, AnswerShapeError) as error:
            self.refused = self.refused or str(error)
            raise
        mutated += [ARGUMENTS[position] for position in forward.changed]
        return Outputs(
            y=y,
            running_mean=running_mean,
            running_var=running_var,
            gradients=tuple(found),
            mutated=tuple(mutated),
        )

    def _outputs(self, arguments: tuple[Any, ...], inputs: Inputs, answer: Answer) -> tuple[Array, Array, Array]:
        """y and the running statistics, which are echoed where there are none."""
        name = self._layer.forward
        if self._layer.norm != "batch":
            results = self._results(name, answer, ("out",), kept=1)
            return row_outputs(self._layer, arguments, results)[0], inputs.running_mean, inputs.running_var
        left = {key: self._value(name, f'bn_param["{key}"]', value) for key, value in answer.dicts[0].items()}
        results = self._results(name, answer, ("out",), kept=1)
        y, running, _ = batch_outputs(self._layer, (*arguments[:3], left), arguments[3], results, self._remarks)
        return y, *running

    def _results(self, name: str, answer: Answer, names: Sequence[str], *, kept: int = 0) -> Any:
        """What the function returned, as far as it can be told from here: None for what was kept or not asked for."""
        if answer.returned == len(names) + kept:
            return (*map(partial(self._value, name), names, answer.values), *(None,) * kept)
        if answer.returned == 1 and answer.values:
            return self._value(name, names[0], answer.values[0])
        return (None,) * answer.returned

    def _value(self, name: str, what: str, value: Any) -> Any:
        if isinstance(value, Other):
            raise AnswerTypeError(f"{name}: {what} is of type {value.name}, expected a NumPy array of floats")
        if isinstance(value, np.ndarray) and value.dtype.kind == "f" and not np.isfinite(value).all():
            self._file.finite = False
        return value

    def _called(self, *arguments: Any) -> Any:
        """The forward alone."""
        return self._results(
            self._layer.forward, next(self._file.answers([self._forward(arguments, _CACHE)])), ("out",), kept=1
        )


def _frames(plans: Iterable[_Plan]) -> Iterator[list[_Plan]]:
    """The plans, as many together as one frame should hold."""
    together: list[_Plan] = []
    size = 0
    for plan in plans:
        together.append(plan)
        size += plan.inputs.x.nbytes * (1 + len(plan.dys))
        if size >= FRAME:
            yield together
            together, size = [], 0
    if together:
        yield together
