"""The pytest door, as a third party opens it: three lines in a repository of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PLUGINS = Path(__file__).parent / "plugins"
THREE_LINES = """\
from bnbench.testing import parametrize
@parametrize(plugins=[{plugin!r}])
def test_conformance(conformance): conformance()
"""


def pytest_in(folder, plugin, *arguments):
    (folder / "test_mine.py").write_text(THREE_LINES.format(plugin=str(plugin)))
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rs", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_correct_plugin_passes(tmp_path):
    source = (PLUGINS / "broken_backward.py").read_text()
    fixed = source.replace(
        "dx_hat.mean(axes, keepdims=True) if", "dx_hat.mean(axes, keepdims=True)"
        " - x_hat * (dx_hat * x_hat).mean(axes, keepdims=True) if",
    )  # fmt: skip
    (tmp_path / "mine.py").write_text(fixed)
    result = pytest_in(tmp_path, tmp_path / "mine.py")

    assert result.returncode == 0, result.stdout
    assert re.search(r"\n\d{4} passed in ", result.stdout), "every check on every case"


def test_a_wrong_plugin_fails_with_the_evidence(tmp_path):
    result = pytest_in(tmp_path, PLUGINS / "broken_backward.py", "-k", "BN301 and 9x5 and float64 and train")

    assert result.returncode == 1
    assert "broken_backward failed BN301: dx is the derivative" in result.stdout
    assert "reproduce: bnbench check broken_backward --plugin" in result.stdout


def test_a_plugin_that_can_not_be_imported_fails_by_name(tmp_path):
    result = pytest_in(tmp_path, PLUGINS / "raises_on_import.py", "-k", "broken")

    assert result.returncode == 1
    assert "raises_on_import.py: RuntimeError: no such luck" in result.stdout


def test_a_plugin_whose_library_is_missing_is_skipped_with_the_remedy(tmp_path):
    (tmp_path / "needy.py").write_text(
        "from bnbench import Implementation\n"
        "implementation = Implementation(name='needy', load=None, requires={'no_such_module': 'get it'})\n"
    )
    result = pytest_in(tmp_path, tmp_path / "needy.py", "-k", "BN101")

    assert result.returncode == 0
    assert "no_such_module is not installed: get it" in result.stdout
