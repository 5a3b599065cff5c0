"""Run a student's module statement by statement: what raises costs itself, and nothing else.

Imports that can't be resolved become :class:`Stub`: inert until called. What is printed is kept, up to a limit.
Standard library only: this runs beside untrusted code.
"""

from __future__ import annotations

import ast
import contextlib
import io
import linecache
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

OUTPUT_LIMIT = 64 * 1024
"""Characters that are kept of what a module prints."""
MESSAGE_LIMIT = 500
"""Characters that are kept of an exception's message."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """A top-level statement that was lost, and why. ``lost`` are the names that it would have defined."""

    line: int
    text: str
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Missing:
    """An import that could not be resolved, and the line where it stands."""

    line: int
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """A module as far as it could be run."""

    namespace: dict[str, Any]
    problems: tuple[Problem, ...] = ()
    missing: tuple[Missing, ...] = ()
    output: str = ""
    """What it printed while it was loaded, stdout and stderr."""


class MissingImportError(ImportError):
    """Something is called that could not be imported."""


class Stub:
    """Stands for an import that could not be resolved: has every attribute, and complains when it is called."""

    def __init__(self, name: str, line: int) -> None:
        self._name = name
        self._line = line

    def __getattr__(self, attribute: str) -> Stub:
        if attribute.startswith("__"):  # copy, inspect and others ask for protocols that a stub has not
            raise AttributeError(attribute)
        return Stub(f"{self._name}.{attribute}", self._line)

    def __call__(self, *_: object, **__: object) -> object:
        raise MissingImportError(f"{self._name} is called, but its import in line {self._line} can't be resolved here")

    def __repr__(self) -> str:
        return f"<{self._name}, which can't be imported here>"


class _Capped(io.TextIOBase):
    """A text stream that keeps the first characters and drops the rest."""

    def __init__(self, limit: int) -> None:
        self.kept: list[str] = []
        self.left = limit

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self.left > 0:
            self.kept.append(str(text[: self.left]))
            self.left -= len(self.kept[-1])
        return len(text)


@contextlib.contextmanager
def captured(limit: int = OUTPUT_LIMIT) -> Iterator[Callable[[], str]]:
    """Keep what is printed by Python code to stdout and stderr; yields the function that returns it.

    What native code writes to the file descriptors is not seen here.
    """
    stream = _Capped(limit)

    def printed() -> str:
        return "".join(stream.kept) + ("" if stream.left > 0 else "\n[and more]")

    with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        yield printed


def describe(error: BaseException) -> str:
    """Type and message of an exception, cut to a limit; the message of a student's exception may raise itself."""
    try:
        message = str(error)
    except BaseException:  # noqa: BLE001 - __str__ is the student's
        message = "(its message can't be read)"
    return f"{type(error).__name__}: {message}"[:MESSAGE_LIMIT].removesuffix(": ")


def line_of(error: BaseException, filename: str) -> int | None:
    """The last line of this file that an exception passed through, None if there is none."""
    if isinstance(error, SyntaxError) and error.filename == filename:
        return error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno for frame in reversed(frames) if frame.filename == filename), None)


def load(text: str, filename: str, *, transform: Callable[[ast.Module], ast.Module] | None = None) -> Loaded:
    """Execute a module's top-level statements one by one, as ``filename``; ``__name__`` is never "__main__".

    ``transform`` rewrites the tree before. A statement that raises anything, SystemExit included, becomes a problem
    and costs itself; a text that does not parse is one problem and an empty namespace. Raises nothing of its own;
    errors of ``transform`` are passed on. Tracebacks show the lines of ``text``.
    """
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    stem = filename.replace("\\", "/").rpartition("/")[2].partition(".")[0]
    namespace: dict[str, Any] = {"__name__": stem, "__file__": filename, "__builtins__": __builtins__}
    problems: list[Problem] = []
    missing: list[Missing] = []
    with warnings.catch_warnings(), captured() as printed:
        warnings.simplefilter("ignore")  # of invalid escapes and the like: not what the student asks about
        try:
            tree = ast.parse(text, filename)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            problem = Problem(line=line_of(error, filename) or 1, text=describe(error))
            return Loaded(namespace=namespace, problems=(problem,))
        if transform is not None:
            tree = ast.fix_missing_locations(transform(tree))
        futures = [s for s in tree.body if isinstance(s, ast.ImportFrom) and s.module == "__future__"]
        for statement in tree.body:
            if statement in futures:
                continue
            if isinstance(statement, ast.Import | ast.ImportFrom):
                missing += _imported(statement, filename, namespace)
                continue
            raised = _executed([*futures, statement], filename, namespace)
            if raised is not None:
                line = line_of(raised, filename) or statement.lineno
                problems.append(Problem(line=line, text=describe(raised), lost=defined_by(statement)))
        output = printed()
    return Loaded(namespace=namespace, problems=tuple(problems), missing=tuple(missing), output=output)


def defined_by(statement: ast.stmt) -> tuple[str, ...]:
    """The names that a top-level statement binds, in order."""
    names = []
    for node in ast.walk(statement):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if node is statement:
                return (node.name,)
            names.append(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.append(node.id)
    return tuple(dict.fromkeys(names))


def _executed(statements: list[ast.stmt], filename: str, namespace: dict[str, Any]) -> BaseException | None:
    module = ast.Module(body=statements, type_ignores=[])
    try:
        exec(compile(module, filename, "exec", dont_inherit=True), namespace)  # noqa: S102 - the very purpose
    except BaseException as error:  # noqa: BLE001 - also SystemExit: exit() at the end of a file ends nothing
        return error
    return None


def _imported(statement: ast.Import | ast.ImportFrom, filename: str, namespace: dict[str, Any]) -> Iterator[Missing]:
    """Run an import name by name; what can't be resolved is bound to a stub."""
    for alias in statement.names:
        single = type(statement)(**{**vars(statement), "names": [alias]})
        if _executed([single], filename, namespace) is None:
            continue
        name = alias.name
        if isinstance(statement, ast.ImportFrom):
            name = f"{'.' * statement.level}{statement.module or ''}{'.' if statement.module else ''}{alias.name}"
        yield Missing(line=statement.lineno, name=name)
        if alias.name == "*":
            continue
        if isinstance(statement, ast.Import) and alias.asname is None:
            package = alias.name.partition(".")[0]
            namespace.setdefault(package, Stub(package, statement.lineno))
        else:
            namespace[alias.asname or alias.name] = Stub(name, statement.lineno)
