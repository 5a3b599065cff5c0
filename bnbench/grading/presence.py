"""Which functions of a handed-in file there are to be called, and why the others are not."""

from __future__ import annotations

from bnbench.adapters.cs231n import FUNCTIONS
from bnbench.adapters.source import Source
from bnbench.grading.model import Item, Outcome
from bnbench.grading.rubric import layer_of
from bnbench.sandbox.worker import Contents


class AbsentError(Exception):
    """An item that there is nothing to run for."""

    def __init__(self, outcome: Outcome, what: str, line: int | None = None) -> None:
        super().__init__(what)
        self.outcome, self.what, self.line = outcome, what, line


class Presence:
    """The functions of a source text, and what became of them when it was loaded."""

    def __init__(self, source: Source, contents: Contents | None) -> None:
        """``contents`` is None where the file ended its worker: then every function is tried, and tells how."""
        self._source = source
        self._functions = {function.name: function for function in source.functions}
        self._lost = {name: problem for problem in source.problems for name in problem.lost}
        self._loaded = frozenset(FUNCTIONS if contents is None else contents.functions)
        self._problems = () if contents is None else contents.problems

    @property
    def usable(self) -> frozenset[str]:
        """The functions that are loaded and implemented."""
        return frozenset(n for n in self._loaded if n not in self._functions or not self._functions[n].unimplemented)

    def require(self, item: Item) -> None:
        """Raise AbsentError where the item's function, or the forward it needs, is not there to be called."""
        layer = layer_of(item)
        self._present(item.function)
        if item.function == layer.backward:
            try:
                self._present(layer.forward)
            except AbsentError as absent:
                raise AbsentError(Outcome.SKIPPED, f"needs {layer.forward}: {absent.what}") from absent

    def _present(self, name: str) -> None:
        function = self._functions.get(name)
        if function is None and name in self._lost:
            problem = self._lost[name]
            raise AbsentError(
                Outcome.ERROR, f"{self._source.place(problem.line)}: {problem.text}", self.line_of(problem.line)
            )
        if function is not None and function.unimplemented:
            raise AbsentError(Outcome.UNIMPLEMENTED, f"{name} is not implemented yet", self.line_of(function.line))
        if name not in self._loaded:
            if function is None:
                raise AbsentError(Outcome.MISSING, f"there is no function {name}")
            within = [p for p in self._problems if function.line <= p[0] <= function.end_line]
            words = f": {within[0][1]}" if within else ""
            raise AbsentError(Outcome.ERROR, f"{name} could not be defined{words}", self.line_of(function.line))

    def line_of(self, line: int) -> int | None:
        """The line for the record; in a notebook lines are told in words, with their cell."""
        return line if line and not self._source.cells else None

    def cell_of(self, line: int) -> str:
        """``cell 3, line 2: `` in a notebook; "" elsewhere, and where there is no line."""
        return f"{self._source.place(line)}: " if line and self._source.cells else ""
