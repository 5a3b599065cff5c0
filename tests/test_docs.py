"""What the prose shows is what happens: its commands are run, and their output compared but for the digits."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHOWN = re.compile(r"^```console\n\$ (bnbench [^\n]+)\n([^$`].+?)^```", re.DOTALL | re.MULTILINE)
EXAMPLES = [(page.name, command, output) for page in PAGES for command, output in SHOWN.findall(page.read_text())]


def masked(text):
    """Digits vary with the machine; so does how much room a number takes."""
    text = re.sub(r"[-+]?\d[\d.e+-]*", "#", text)
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def run(command, folder):
    return subprocess.run(
        [sys.executable, "-m", *shlex.split(command)],
        cwd=folder,
        env={**os.environ, "COLUMNS": "80", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_pages_show_a_run_that_passes_and_one_that_fails():
    assert {run(command, ROOT).returncode for name, command, _ in EXAMPLES if name == "README.md"} >= {0, 1}


@pytest.mark.parametrize(("page", "command", "output"), EXAMPLES, ids=lambda value: str(value)[:60])
def test_a_shown_command_prints_what_is_shown(page, command, output):
    shown, printed = masked(output), masked(run(command, ROOT).stdout)

    assert printed == shown, page


def test_the_implementers_example_conforms(tmp_path):
    (source,) = re.findall(
        r"^```python\n(\"\"\"Batch.+?)^```", (ROOT / "docs/implementations.md").read_text(), re.DOTALL | re.MULTILINE
    )
    (tmp_path / "numpy_loop.py").write_text(source)
    result = run("bnbench check --plugin numpy_loop.py", tmp_path)

    assert result.returncode == 0, result.stdout


def test_every_link_between_pages_leads_somewhere():
    for page in [*PAGES, ROOT / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\(([\w./-]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
