"""One layer of a student's own file as a program that can be traced, replayed and edited, in this process."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from bnbench.adapters.cs231n import Layer
from bnbench.diagnose.cause import Quantity
from bnbench.diagnose.edits import Edit
from bnbench.diagnose.points import read
from bnbench.diagnose.probe_cases import probe_cases
from bnbench.diagnose.program import Definition
from bnbench.diagnose.quantities import canonical
from bnbench.model import Array, Inputs
from bnbench.sandbox.child.load import captured, load
from bnbench.sandbox.child.probe import Call, Recorder, Result, Trace, instrument, reachable, record


class LayerProgram:
    """The functions of one layer on the probe cases of one mode; see :class:`bnbench.diagnose.program.Program`."""

    def __init__(
        self,
        text: str,
        filename: str,
        layer: Layer,
        *,
        training: bool = True,
        spread: bool = True,
        defaults: bool = False,
        backward: bool = True,
    ) -> None:
        """``spread`` gives group norm gamma as ``(1, C, 1, 1)``; with ``defaults`` no option is given but the mode.

        Without ``backward``, and in test mode, the forward alone is run.
        """
        self.layer = layer
        cases = probe_cases(layer.norm, rank=layer.rank, training=training)
        self.cases = tuple(_with_defaults(*case) for case in cases) if defaults else cases
        self._defaults = defaults
        self._training, self._spread = training, spread
        self._backward = backward and (training or layer.norm != "batch")
        names = (layer.forward, layer.backward) if self._backward else (layer.forward,)
        tree = self._tree = ast.parse(text)
        wanted = reachable(tree, names)
        self.definitions: tuple[Definition, ...] = tuple(
            node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name in wanted
        )
        self._load(text, filename, names)

    def _load(self, text: str, filename: str, names: tuple[str, ...]) -> None:
        self._plain = load(text, filename).namespace

        sites: tuple[Any, ...] = ()

        def transform(module: ast.Module) -> ast.Module:
            nonlocal sites
            module, sites = instrument(module, text, names)
            return module

        self._probed = load(text, filename, transform=transform).namespace
        self._recorder = Recorder(sites)

    @property
    def _options(self) -> dict[str, bool]:
        return {
            "training": self._training,
            "spread": self._spread,
            "defaults": self._defaults,
            "backward": self._backward,
        }

    def _again(self, text: str) -> LayerProgram:
        """The same of another text."""
        return LayerProgram(text, "<corrected>", self.layer, **self._options)

    def trace(self, run: int, replace: Mapping[int, Array] | None = None) -> Trace:
        with _quiet():
            return record(self._probed, self._recorder, self._calls(run), replace=replace)

    @property
    def answers(self) -> tuple[str, ...]:
        gradients = ("dx", "dgamma", "dbeta") if self._backward else ()
        kept = ("running_mean", "running_var") if self.layer.norm == "batch" else ()
        return ("y", *kept, *gradients)

    def outputs(self, run: int, trace: Trace) -> Mapping[str, Array]:
        return self._outputs(run, trace.results, trace.arguments)

    def overwritten(self, run: int, trace: Trace) -> tuple[str, ...]:
        inputs, dy = self.cases[run]
        given = {"x": (0, 0, inputs.x), "gamma": (0, 1, inputs.gamma), "beta": (0, 2, inputs.beta), "dy": (1, 0, dy)}
        return tuple(
            name
            for name, (call, place, array) in given.items()
            if call < len(trace.arguments)
            and not np.array_equal(np.ravel(trace.arguments[call][place]), np.ravel(array))
        )

    def edited(self, run: int, definition: Definition) -> Mapping[str, Array]:
        before = self._plain[definition.name]
        try:
            with _quiet():
                exec(compile(ast.Module([definition], []), "<edited>", "exec"), self._plain)  # noqa: S102 - the purpose
                return self._outputs(run, *self._answers(run))
        except (Exception, SystemExit):  # noqa: BLE001 - an edit may raise anything
            return {}
        finally:
            self._plain[definition.name] = before

    def corrected(self, definition: Definition, edit: Edit) -> Quantity | None:
        before = _simple(definition)
        with edit.applied():
            text = ast.unparse(self._tree)
        changed = self._again(text)
        after = _simple(next(node for node in changed.definitions if node.name == definition.name))
        place = next((k for k, node in enumerate(before) if node is edit.statement), None)
        if place is None:  # the head of a loop binds no value of its own
            return None
        line = after[place].lineno
        reading = read(
            [changed.trace(run) for run in range(len(self.cases))], [canonical(*case) for case in self.cases]
        )
        bound = [
            p
            for p in reading.points
            if reading.site(p).role in ("assigned", "changed") and reading.site(p).line == line
        ]
        return next((p.seen[0].node for p in reversed(bound) if p.seen), None)

    def _calls(self, run: int) -> list[Call]:
        inputs, dy = self.cases[run]
        calls = [Call(self.layer.forward, self._arguments(inputs))]
        if self._backward:
            calls.append(Call(self.layer.backward, (dy, Result(0, (1,)))))
        return calls

    def _arguments(self, inputs: Inputs) -> tuple[Any, ...]:
        options = inputs.options
        arrays: tuple[Any, ...] = (inputs.x, inputs.gamma, inputs.beta)
        if self.layer.norm == "group":
            shape = (1, -1, 1, 1) if self._spread else (-1,)
            arrays = (inputs.x, inputs.gamma.reshape(shape), inputs.beta.reshape(shape), options.groups)
        param: dict[str, Any] = {} if self._defaults else {"eps": options.eps}
        if self._defaults and self.layer.norm == "batch":
            param = {"mode": "train"}
        elif self.layer.norm == "batch":
            param |= {
                "mode": "train" if options.training else "test",
                "momentum": 1 - options.momentum,
                "running_mean": inputs.running_mean,
                "running_var": inputs.running_var,
            }
        return (*arrays, param)

    def _answers(self, run: int) -> tuple[list[Any], list[tuple[Any, ...]]]:
        inputs, dy = self.cases[run]
        given = tuple(_copied(argument) for argument in self._arguments(inputs))
        results = [self._plain[self.layer.forward](*given)]
        if self._backward:
            results.append(self._plain[self.layer.backward](dy.copy(), results[0][1]))
        return results, [given]

    def _outputs(self, run: int, results: Any, arguments: Any) -> dict[str, Array]:
        inputs, _ = self.cases[run]
        found: dict[str, Any] = {}
        for names, answer in zip((("y",), ("dx", "dgamma", "dbeta")), results, strict=False):
            if isinstance(answer, tuple | list):
                found |= dict(zip(names, answer, strict=False))
        if arguments and inputs.options.norm == "batch":
            param = arguments[0][-1]
            found |= {key: param.get(key) for key in ("running_mean", "running_var")}
        return {name: value for name, value in found.items() if _is_floats(value)}


def _with_defaults(inputs: Inputs, dy: Array) -> tuple[Inputs, Array]:
    """The same case as a layer sees it that is given no option: eps 1e-5, on data of that size, for the first time."""
    options = replace(inputs.options, eps=1e-5, momentum=0.1)
    zeros = np.zeros_like(inputs.gamma)
    return replace(inputs, x=inputs.x * 3e-3, running_mean=zeros, running_var=zeros.copy(), options=options), dy


def _simple(definition: Definition) -> list[ast.stmt]:
    """The statements of a definition that hold no others, in the order of the source."""
    found = [node for node in ast.walk(definition) if isinstance(node, ast.stmt) and not hasattr(node, "body")]
    return sorted(found, key=lambda node: (node.lineno, node.col_offset))


def _is_floats(value: object) -> bool:
    return isinstance(value, np.ndarray | np.floating | float) and np.asarray(value).dtype.kind == "f"


def _copied(argument: Any) -> Any:
    if isinstance(argument, dict):
        return {key: _copied(value) for key, value in argument.items()}
    return argument.copy() if isinstance(argument, np.ndarray) else argument


@contextmanager
def _quiet() -> Iterator[None]:
    """What the functions print is dropped, and so are warnings: wrong code overflows."""
    with warnings.catch_warnings(), np.errstate(all="ignore"), captured(0):
        warnings.simplefilter("ignore")
        yield
