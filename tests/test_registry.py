"""Discovery is loud: everything that declares a plugin is listed, working or broken."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bnbench.blocks import GROUPED
from bnbench.model import Implementation
from bnbench.registry import PluginPathError, Registry, UnknownImplementationError, discover

PLUGINS = Path(__file__).parent / "plugins"
SHIPPED = {
    *("c_fused", "numba_fused", "numpy_simplified", "numpy_staged", "torch_compiled", "torch_composed", "torch_native"),
    *("torch_channels_last", "torch_cuda"),
    *(f"{library}_{norm}_norm" for library in ("c", "numpy", "torch") for norm in GROUPED),
}

GOOD = "from bnbench import Implementation\nimplementation = Implementation(name={name!r}, load=lambda: None)\n"
SEVERAL = (
    "from bnbench import Implementation\n"
    "implementations = tuple(Implementation(name=name, load=lambda: None) for name in {names!r})\n"
)


def test_everything_shipped_is_discovered():
    registry = discover()

    assert set(registry.implementations) >= SHIPPED
    assert registry.broken == ()


def test_discovery_imports_nothing_heavy():
    code = "import sys; from bnbench.registry import discover; discover(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()

    assert "bnbench.implementations.torch_native" in loaded
    assert not {"torch", "numba", "pandas", "altair", "pydantic"} & set(loaded)


def test_what_runs_on_request_runs_only_where_it_is_named():
    slow, quick = (Implementation(name=n, load=lambda: None, on_request=n == "slow") for n in ("slow", "quick"))
    registry = Registry(implementations={"slow": slow, "quick": quick})
    assert registry.select(()) == (quick,)
    assert registry.select(["slow"]) == (slow,)


def test_a_missing_module_is_named_before_what_else_is_missing():
    asked = []
    given = {"name": "mine", "load": lambda: None, "unavailable": lambda: asked.append(1) or "no compiler"}
    assert Registry.missing(Implementation(**given)) == "no compiler"
    assert Registry.missing(Implementation(**given, requires={"no_such_module": "get it"})).startswith("no_such_module")
    assert len(asked) == 1


def test_a_path_adds_what_it_declares(tmp_path):
    (tmp_path / "mine.py").write_text(GOOD.format(name="mine"))
    registry = discover([tmp_path / "mine.py"])

    assert registry.from_paths == ("mine",)
    assert "mine" in registry.implementations


def test_a_module_may_declare_several(tmp_path):
    (tmp_path / "mine.py").write_text(SEVERAL.format(names=["mine", "mine_too"]))
    registry = discover([tmp_path / "mine.py"])

    assert registry.from_paths == ("mine", "mine_too")
    assert registry.broken == ()


def test_of_several_only_the_one_whose_name_is_taken_is_broken(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(SEVERAL.format(names=["mine", "numpy_staged", "mine_too", "mine"]))
    registry = discover([file])

    assert registry.from_paths == ("mine", "mine_too")
    assert [(b.source, b.error) for b in registry.broken] == [
        (str(file), "the name 'numpy_staged' is taken already"),
        (str(file), "the name 'mine' is taken already"),
    ]


def test_a_folder_adds_every_file_but_those_with_an_underscore(tmp_path):
    for name in ("one", "two", "_helper"):
        (tmp_path / f"{name}.py").write_text(GOOD.format(name=name))

    assert discover([tmp_path]).from_paths == ("one", "two")


def test_a_script_in_a_folder_is_not_run(tmp_path):
    (tmp_path / "mine.py").write_text(GOOD.format(name="mine"))
    (tmp_path / "cleanup.py").write_text(f"import pathlib; pathlib.Path({str(tmp_path / 'mine.py')!r}).unlink()")
    (tmp_path / "unfinished.py").write_text("def f(:")
    registry = discover([tmp_path])

    assert registry.from_paths == ("mine",)
    assert (tmp_path / "mine.py").exists()
    assert [b.source for b in registry.broken] == [str(tmp_path / "unfinished.py")]


def test_two_files_of_the_same_name_are_kept_apart(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "layer.py").write_text(GOOD.format(name=name))

    assert discover([tmp_path / "a", tmp_path / "b"]).from_paths == ("a", "b")


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("raise RuntimeError('no such luck')", "RuntimeError: no such luck (bad.py, line 1)"),
        ("import sys\nsys.exit(3)", "SystemExit: 3 (bad.py, line 2)"),
        ("def f(:\n", "SyntaxError: invalid syntax (bad.py, line 1)"),
        ("x = 1", "expected an attribute implementation = bnbench.Implementation(...), or implementations, a tuple"),
        ("x = 1", "found nothing"),
        ("implementation = 3", "found a int"),
        ("implementations = ()", "found nothing"),
        ("implementations = [1]", "found a list"),
        (SEVERAL.format(names=["fine"]) + "implementations += (3,)", "found a int"),
        (GOOD.format(name="a") + SEVERAL.format(names=["b"]), "found both"),
        (GOOD.format(name="numpy_staged"), "the name 'numpy_staged' is taken already"),
        ("import a_module_nobody_has", "ModuleNotFoundError: No module named 'a_module_nobody_has'"),
    ],
)
def test_a_broken_plugin_is_listed_with_its_file_and_error(tmp_path, source, error):
    file = tmp_path / "bad.py"
    file.write_text(source)
    (broken,) = discover([file]).broken

    assert broken.source == str(file)
    assert error in broken.error


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("missing.py", "no such file or folder"),
        ("empty", "no plugin in this folder"),
        ("layer.c", "not a Python file"),
    ],
)
def test_a_path_without_a_plugin_is_refused(tmp_path, path, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "layer.c").write_text("int x;")

    with pytest.raises(PluginPathError, match=message):
        discover([tmp_path / path])


def test_an_unknown_name_gets_a_suggestion():
    with pytest.raises(
        UnknownImplementationError, match=r"no implementation is called 'numpy_stage'; .* numpy_staged\?"
    ):
        discover().select(["numpy_stage"])


def test_a_name_like_no_other_gets_the_list():
    with pytest.raises(UnknownImplementationError, match="known: c_fused"):
        discover().select(["zzz"])


def test_what_is_missing_is_said_with_the_remedy():
    implementation = Implementation(
        name="needy", load=lambda: None, requires={"numpy": "never", "no_such_module.inner": "pip install it"}
    )

    assert Registry.missing(implementation) == "no_such_module.inner is not installed: pip install it"


def test_an_entry_point_is_discovered(tmp_path):
    """A third-party distribution, as an installer leaves it: a module and a dist-info folder."""
    (tmp_path / "theirs.py").write_text(GOOD.format(name="theirs"))
    (tmp_path / "more.py").write_text(SEVERAL.format(names=["one", "two"]))
    metadata = tmp_path / "theirs-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[bnbench.implementations]\ntheirs = theirs\npair = more:implementations\nbad = no_such_module\n"
    )
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from bnbench.registry import discover; r = discover();"
        "print({'theirs', 'one', 'two'} <= set(r.implementations), [b.source for b in r.broken])"
    )
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout

    assert output.strip() == "True ['entry point bad = no_such_module']"


def test_a_plain_checkout_needs_no_installation(tmp_path):
    """Only the two folders, nothing installed: the pure Python implementations are found."""
    root = Path(__file__).resolve().parent.parent
    for folder in ("bnbench", "implementations"):
        (tmp_path / folder).symlink_to(root / folder)
    code = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}];"
        "sys.meta_path = [f for f in sys.meta_path if 'Scikit' not in type(f).__name__];"
        "import bnbench; bnbench.__file__; from bnbench.registry import discover;"
        "print(*discover().implementations)"
    )
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()

    assert {"numpy_staged", "numpy_simplified"} <= set(output)
