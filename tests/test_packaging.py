"""What is installed: the package, the implementations inside it, one extension, and nothing else."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXTENSION = "bnbench/implementations/c_fused/_c_fused.abi3.so"
COMPILER = any(map(shutil.which, (os.environ.get("CC") or "cc", "cc", "gcc", "clang")))

needs_compiler = pytest.mark.skipif(not COMPILER, reason="no C compiler")


def sources(folder):
    """The files of a folder, relative to the root, without what running or compiling leaves behind."""
    files = (file for file in (ROOT / folder).rglob("*") if file.is_file())
    return {f.relative_to(ROOT) for f in files if "__pycache__" not in f.parts and f.suffix != ".so"}


def installed(source):
    """The name in the wheel of a source file."""
    return f"bnbench/{source.as_posix()}" if source.parts[0] == "implementations" else source.as_posix()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from an sdist: so that both are known to be complete."""
    pytest.importorskip("build")
    out = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "--outdir", out, ROOT], check=True, timeout=600, capture_output=True)
    (path,) = out.glob("*.whl")
    assert list(out.glob("*.tar.gz"))
    return path


@pytest.mark.slow
@needs_compiler
def test_wheel_holds_the_package_the_implementations_and_one_extension(wheel):
    expected = {installed(file) for file in sources("bnbench")}
    expected |= {installed(file) for file in sources("implementations") if file.suffix == ".py"}
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == expected | {EXTENSION}


@pytest.mark.slow
@needs_compiler
def test_wheel_serves_every_later_python(wheel):
    assert wheel.name.split("-")[2:4] == ["cp311", "abi3"]


@pytest.mark.slow
def test_python_files_are_installed_as_they_are(wheel):
    with zipfile.ZipFile(wheel) as archive:
        for file in sources("bnbench") | {f for f in sources("implementations") if f.suffix == ".py"}:
            assert archive.read(installed(file)) == (ROOT / file).read_bytes(), file


@pytest.mark.slow
@needs_compiler
def test_what_is_installed_works_by_itself(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = """
import numpy as np, bnbench
from bnbench.registry import discover
registry = discover()
assert not registry.broken, registry.broken
c = np.ones(2)
y, _, _ = registry.implementations["c_fused"].load()(
    np.array([[1.0, 2], [3, 6]]), c, c, c, c, training=True, eps=0.0, momentum=0.1
)
print(bnbench.__file__, *y.ravel())
"""
    # -S keeps an editable install of the checkout from answering instead.
    path = os.pathsep.join([str(tmp_path), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    found = subprocess.run(
        [sys.executable, "-S", "-P", "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert found.split() == [str(tmp_path / "bnbench" / "__init__.py"), "0.0", "0.0", "2.0", "2.0"]


@pytest.mark.slow
def test_installs_without_a_compiler(tmp_path):
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", tmp_path]
    subprocess.run(
        [*command, f"--config-settings=build-dir={tmp_path / 'build'}", ROOT],
        env=os.environ | {"CC": str(tmp_path / "no-such-compiler")},
        check=True,
        timeout=600,
        capture_output=True,
    )
    (path,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    assert "bnbench/implementations/c_fused/__init__.py" in names
    assert EXTENSION not in names


def test_every_direct_dependency_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {line.partition("==")[0] for line in lines if "==" in line and not line.startswith("#")}
    for requirement in wanted:
        name = requirement.partition(">=")[0]
        assert name in pinned or name.startswith("bnbench["), requirement
