"""Who may import whom: the rooms of the project, as a table that is checked."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

CORE = {
    "model",
    "blocks",
    "arguments",
    "cases",
    "reference",
    "differences",
    "extrapolation",
    "compare",
    "tolerances",
    "kernels",
}
CORE |= {"jacobian", "projection", "inconsistency"}
CORE |= {"honest", "rounding"}
CORE |= {"dyadic", "fixtures", "exactness", "conventions", "conclusion"}
CORE |= {"argument", "directions", "verdict", "vcurve"}
CORE |= {"shift", "recorded", "changes", "comparison"}
CORE_FOLDERS = {"checks", "mutants", "report", "diagnose"}
SHELL = {
    "registry",
    "runner",
    "session",
    "timing",
    "turns",
    "selftest",
    "cli_selftest",
    "scale",
    "cli_scale",
    "cli_batch_norms",
    "intervals",
    "policy",
    "testing",
    "cli",
    "figures",
    "console",
    "cli_harness",
    "cli_debug",
    "__main__",
}
SHELL |= {"calibration", "rivals", "rules"}
SHELL |= {"mutation", "debugging", "hints", "staged"}
SHELL |= {"networks", "verification", "roofline", "device", "torch_binds"}
SHELL |= {"cli_grade", "cli_grading", "cli_regrade", "cli_assignment", "cli_gradescope", "cli_github", "cli_isolation"}
SHELL |= {"nn", "cli_train", "cli_vcurve"}
SHELL |= {"answers", "cli_app", "cli_doctor", "cli_options", "completion", "doctor", "notebook"}
SHELL |= {"glossary", "cli_explain"}
SHELL |= {"history", "cli_report"}
SHELL_FOLDERS = {"asv_benchmarks", "adapters", "sandbox", "grading", "training"}

IMPURE = {"os", "pathlib", "subprocess", "time", "datetime", "random", "tempfile", "shutil", "socket", "threading"}
"""Modules that open files, read clocks, start processes or draw unseeded: not in the core."""

HEAVY = {"torch", "numba", "pandas", "vl_convert", "pydantic", "jinja2", "asv", "asv_runner", "dask", "grandalf"}
HEAVY |= {"fissix", "parso"}
HEAVY |= {"distributed", "pygments", "tomli_w"}
HEAVY |= {"sklearn"}
"""Imported only inside functions, wherever they are used."""

HEAVY_ROOMS = {"nn": {"torch"}}
"""Rooms that are nothing without a heavy library; they are themselves imported only inside functions."""

NUMPY_ONLY = {"model": set(), "arguments": set(), "blocks": {"model"}, "reference": {"model", "blocks"}}
"""Rooms that import nothing but the standard library, NumPy and these."""


def room_of(file):
    parts = file.relative_to(ROOT / "bnbench").parts
    return "__init__" if parts == ("__init__.py",) else parts[0].removesuffix(".py")


def imports(source, *, nested=True):
    """Every imported module of a source text; without ``nested`` only those at import time."""
    tree = ast.parse(source)
    nodes = ast.walk(tree) if nested else _at_import_time(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def _at_import_time(node):
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from _at_import_time(child)


def violations(room, source):
    """What this source imports against the rules of its room."""
    inside = {
        name.split(".")[1]
        for name in imports(source)
        if name.startswith("bnbench.") and not name.startswith("bnbench.sandbox.child")
    }
    outside = {name.split(".")[0] for name in imports(source) if not name.startswith("bnbench")}
    at_import_time = set(imports(source, nested=False))
    found = sorted((HEAVY & {name.split(".")[0] for name in at_import_time}) - HEAVY_ROOMS.get(room, set()))
    found += sorted(at_import_time & {f"bnbench.{heavy}" for heavy in HEAVY_ROOMS})
    if room in CORE | CORE_FOLDERS:
        found += sorted(inside - CORE - CORE_FOLDERS)
        found += sorted(outside & IMPURE)
    if room in NUMPY_ONLY:
        found += sorted(inside - NUMPY_ONLY[room])
    return found


FILES = sorted((ROOT / "bnbench").rglob("*.py"))
CHILD = sorted((ROOT / "bnbench" / "sandbox" / "child").glob("*.py"))


@pytest.mark.parametrize("file", CHILD, ids=lambda file: file.name)
def test_what_runs_beside_untrusted_code_imports_the_standard_library_and_numpy_alone(file):
    assert {name.split(".")[0] for name in imports(file.read_text())} <= {*sys.stdlib_module_names, "numpy"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_file_imports_only_what_its_room_may(file):
    assert room_of(file) in CORE | CORE_FOLDERS | SHELL | SHELL_FOLDERS | {"__init__"}, "a room missing from the table"
    assert violations(room_of(file), file.read_text()) == []


@pytest.mark.parametrize("file", sorted((ROOT / "implementations").rglob("*.py")), ids=lambda file: file.name)
def test_an_implementation_imports_only_public_names_and_nothing_heavy(file):
    source = file.read_text()
    inside = {n for n in imports(source) if n.startswith("bnbench") and not n.startswith("bnbench.implementations")}
    heavy = HEAVY & {name.split(".")[0] for name in imports(source, nested=False)}

    assert inside <= {"bnbench"}
    assert file.name.startswith("_") or not heavy, "modules with an underscore are imported by load() alone"


@pytest.mark.parametrize(
    ("room", "source", "found"),
    [
        ("checks", "from bnbench.runner import judge", ["runner"]),
        ("compare", "def f():\n    import os", ["os"]),
        ("model", "from bnbench.cases import grid", ["cases"]),
        ("cli", "import torch", ["torch"]),
        ("cli", "try:\n    import pandas\nexcept ImportError:\n    pass", ["pandas"]),
        ("cli", "def f():\n    import torch", []),
        ("nn", "import torch\nimport numba", ["numba"]),
        ("cli", "import bnbench.nn", ["bnbench.nn"]),
    ],
)
def test_a_forbidden_import_is_noticed(room, source, found):
    assert violations(room, source) == found
