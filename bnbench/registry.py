"""Discovery: which implementations there are, which are unavailable, and which plugins are broken.

Three sources, in this order: the package ``bnbench.implementations`` (the top-level folder
``implementations/`` of the project), entry points of the group ``bnbench.implementations``, and
paths given by the user. A plugin is a module with one attribute: ``implementation``, or a tuple of
them, ``implementations``; a file of cs231n's layers needs none. Nothing is swallowed: what does not load is listed in
:attr:`Registry.broken` with its error.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
import importlib
import importlib.util
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from bnbench.adapters.source import read_source
from bnbench.adapters.submission import SubmissionError, layers_of
from bnbench.model import Broken, Implementation

GROUP = "bnbench.implementations"
CHECKOUT = Path(__file__).resolve().parent.parent / "implementations"


class UnknownImplementationError(LookupError):
    """A name that no implementation has."""


class PluginPathError(LookupError):
    """A plugin path that is not a Python file or a folder of such files."""


class PluginError(TypeError):
    """A module that does not declare an implementation as it should."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Registry:
    """Everything that was discovered."""

    implementations: Mapping[str, Implementation]
    from_paths: tuple[str, ...] = ()
    """Names of those that came from a path given by the user."""
    broken: tuple[Broken, ...] = ()

    def select(self, names: Iterable[str]) -> tuple[Implementation, ...]:
        """The implementations of these names; if there are none, all but those that run on request.

        Raises UnknownImplementationError with a suggestion.
        """
        chosen = []
        for name in names:
            if name not in self.implementations:
                near = difflib.get_close_matches(name, self.implementations, n=1, cutoff=0.5)
                hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(self.implementations)}"
                raise UnknownImplementationError(f"no implementation is called {name!r}; {hint}")
            chosen.append(self.implementations[name])
        return tuple(chosen or (each for each in self.implementations.values() if not each.on_request))

    @staticmethod
    def missing(implementation: Implementation) -> str:
        """Why the implementation can't be loaded here, or "". Imports nothing heavy."""
        return (
            "; ".join(
                f"{module} is not installed: {remedy}"
                for module, remedy in implementation.requires.items()
                if not _findable(module)
            )
            or implementation.unavailable()
        )


def discover(paths: Iterable[Path] = ()) -> Registry:
    """Load every plugin module. Heavy libraries are left to ``Implementation.load``.

    Raises PluginPathError for a path where no plugin can be.
    """
    found: dict[str, Implementation] = {}
    from_paths: list[str] = []
    broken: list[Broken] = []
    files = [file for path in paths for file in _plugin_files(path)]
    for source, load in _sources(files):
        try:
            declared = load()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a plugin raises belongs in the list
            broken.append(Broken(source=source, error=describe_error(error)))
            continue
        for implementation in declared:
            if implementation.name in found:
                taken = PluginError(f"the name {implementation.name!r} is taken already")
                broken.append(Broken(source=source, error=describe_error(taken)))
                continue
            found[implementation.name] = implementation
            if source in map(str, files):
                from_paths.append(implementation.name)
    return Registry(implementations=found, from_paths=tuple(from_paths), broken=tuple(broken))


def describe_error(error: BaseException) -> str:
    """An exception in one line: type, message, and the last file and line that it passed through."""
    if isinstance(error, PluginError):
        return str(error)  # what is wrong is in the plugin, not where it was noticed
    text = f"{type(error).__name__}: {error}"
    frames = traceback.extract_tb(error.__traceback__)
    if frames and not isinstance(error, SyntaxError):
        text += f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})"
    return text


def _sources(files: Iterable[Path]) -> Iterator[tuple[str, Callable[[], tuple[Implementation, ...]]]]:
    """Every place that declares a plugin, with the function that loads it."""
    for entry in sorted(pkgutil.iter_modules(_package().__path__), key=lambda entry: entry.name):
        if not entry.name.startswith("_"):
            name = f"{GROUP}.{entry.name}"
            yield name, partial(_declared_by, partial(importlib.import_module, name))
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        yield f"entry point {point.name} = {point.value}", partial(_declared_by, point.load)
    for file in files:
        yield str(file), partial(_declared_by, partial(_load_path, file))


def _declared_by(load: Callable[[], object]) -> tuple[Implementation, ...]:
    """The implementations that a module (or an entry point's object) declares, at least one."""
    declaration = load()
    if isinstance(declaration, ModuleType):
        names = [name for name in ("implementation", "implementations") if hasattr(declaration, name)]
        if len(names) > 1:
            raise PluginError("expected one of the attributes implementation and implementations, found both")
        declaration = getattr(declaration, names[0]) if names else None
    entries = declaration if isinstance(declaration, tuple) else (declaration,)
    implementations = tuple(entry for entry in entries if isinstance(entry, Implementation))
    if not implementations or len(implementations) < len(entries):
        other = next((entry for entry in entries if not isinstance(entry, Implementation)), None)
        found = "nothing" if other is None else f"a {type(other).__name__}"
        raise PluginError(
            "expected an attribute implementation = bnbench.Implementation(...), "
            f"or implementations, a tuple of them, found {found}"
        )
    return implementations


def _package() -> ModuleType:
    """``bnbench.implementations``, from the checkout when nothing is installed."""
    try:
        return importlib.import_module(GROUP)
    except ModuleNotFoundError as error:
        if error.name != GROUP:
            raise
    spec = importlib.util.spec_from_file_location(
        GROUP, CHECKOUT / "__init__.py", submodule_search_locations=[str(CHECKOUT)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"no implementations at {CHECKOUT}")
    package = importlib.util.module_from_spec(spec)
    sys.modules[GROUP] = package
    spec.loader.exec_module(package)
    return package


def _plugin_files(path: Path) -> list[Path]:
    if path.is_dir():
        # A folder may hold other scripts: only what declares a plugin is run.
        files = sorted(file for file in path.glob("*.py") if not file.name.startswith("_") and _declares(file))
        if not files:
            raise PluginPathError(f"{path}: no plugin in this folder; expected files *.py that define 'implementation'")
        return files
    if not path.is_file():
        raise PluginPathError(f"{path}: no such file or folder; expected a Python file that defines 'implementation'")
    if path.suffix not in {".py", ".ipynb"}:
        raise PluginPathError(f"{path}: not a Python file; expected NAME.py that defines 'implementation'")
    return [path]


def _declares(file: Path) -> bool:
    """Whether a file names an implementation at its top level; true for one that can't be parsed, to be loud."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return True
    return _declared_in(tree)


def _declared_in(tree: ast.Module) -> bool:
    names = {
        name.id
        for statement in tree.body
        for name in ast.walk(statement)
        if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)
    }
    return bool(names & {"implementation", "implementations"})


def _load_path(file: Path) -> object:
    """A plugin's module, or the implementations in a file that declares none but defines layers of cs231n."""
    source = read_source(file.read_bytes(), file.name)
    if not _declared_in(ast.parse(source.text)):
        try:
            layers = layers_of(source, file)
        except SubmissionError as error:
            raise PluginError(str(error)) from error
        if layers:
            return layers
    return _load_file(file)


def _load_file(file: Path) -> ModuleType:
    # The digest keeps two files of the same name in different folders apart.
    name = f"bnbench_plugin_{file.stem}_{hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise PluginError(f"{file} can't be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _findable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # a parent package is missing
        return False
