"""What the prose shows is what happens: its commands are run, and their output compared but for the digits.

A tutorial is followed from its first block to its last in one scratch folder beside the checkout: ``console`` blocks
are run, a block under ``<!-- file: NAME -->`` is written, and ``...`` stands for lines that are not shown. What is
marked ``sh`` is not run: to install, to upload, to commit.
"""

from __future__ import annotations

import importlib
import os
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from bnbench.checks import ALL_CHECKS
from bnbench.diagnose.cause import QUANTITIES

ROOT = Path(__file__).resolve().parent.parent
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
PAGES = [ROOT / "README.md", *(page for page in sorted((ROOT / "docs").rglob("*.md")) if page not in TUTORIALS)]
BLOCK = re.compile(
    r"(?:^<!-- file: (?P<file>\S+) -->\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```", re.DOTALL | re.MULTILINE
)
SHOWN = re.compile(r"^```console\n\$ (bnbench [^\n]+)\n([^$`].+?)^```", re.DOTALL | re.MULTILINE)
EXAMPLES = [(page.name, command, output) for page in PAGES for command, output in SHOWN.findall(page.read_text())]


def masked(text):
    """Digits vary with the machine; so does how much room a number takes."""
    text = re.sub(r"[-+]?\d[\d.e+-]*", "#", text)
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def shows(shown, printed):
    """Whether the printed lines are those shown, ``...`` being any number of lines."""
    if not shown:
        return not printed
    if shown[0] == "...":
        return any(shows(shown[1:], printed[skipped:]) for skipped in range(len(printed) + 1))
    return bool(printed) and shown[0] == printed[0] and shows(shown[1:], printed[1:])


def follow(page, folder):
    """Every command of a tutorial with what it shows and what it prints, in order; nothing is shown of some."""
    for block in BLOCK.finditer(page.read_text()):
        if block["file"]:
            (folder / block["file"]).write_text(block["text"])
        elif block["kind"] == "console":
            for command, shown in re.findall(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", block["text"], re.MULTILINE):
                done = subprocess.run(
                    ["bash", "-c", command],
                    cwd=folder,
                    env={
                        **os.environ,
                        "COLUMNS": "80",
                        "NO_COLOR": "1",
                        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                    },
                    capture_output=True,
                    text=True,
                    check=False,
                )
                assert done.returncode in {0, 1}, f"{command}: {done.stderr}"
                yield command, masked(shown), masked(done.stdout)


@cache
def run(command, folder):
    """What a command comes to; run once, however many pages show it."""
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


def test_what_is_shown_may_leave_out_lines_and_change_none():
    assert shows(["a", "...", "d"], ["a", "b", "c", "d"])
    assert shows(["a", "..."], ["a"])
    assert not shows(["a", "...", "d"], ["a", "b", "c"])
    assert not shows(["a", "c"], ["a", "b", "c"])
    assert not shows(["a"], ["a", "b"])


@pytest.mark.slow
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_can_be_followed_to_the_letter(page, tmp_path):
    (tmp_path / "bnbench").symlink_to(ROOT)
    (tmp_path / "scratch").mkdir()
    for command, shown, printed in follow(page, tmp_path / "scratch"):
        assert not shown or shows(shown, printed), f"{command} printed\n" + "\n".join(printed)


def test_every_link_between_pages_leads_somewhere():
    for page in [*PAGES, *TUTORIALS, ROOT / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\(([\w./-]+)(?:#[\w-]+)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.fixture
def docs_site(monkeypatch):
    """The modules that build the documentation, by their names."""
    monkeypatch.syspath_prepend(ROOT)
    return lambda name: importlib.import_module(f"docs_site.{name}")


@pytest.fixture
def links(docs_site):
    return docs_site("links")


def test_every_check_and_every_quantity_has_a_page_and_stands_in_an_index(docs_site, tmp_path):
    docs_site("words").write_words(tmp_path)
    words = {"checks": {check.code for check in ALL_CHECKS}, "quantities": set(QUANTITIES)}

    for folder, expected in words.items():
        index = (tmp_path / folder / "index.md").read_text()
        assert {page.stem for page in (tmp_path / folder).glob("*.md")} - {"index"} == expected
        assert {target for target in re.findall(r"\]\((\w+)\.md\)", index) if target in expected} == expected
    assert "Measured only after\n\n[BN101](BN101.md)" in (tmp_path / "checks" / "BN301.md").read_text()


def test_every_command_has_a_page_with_its_example(docs_site, tmp_path):
    folder = tmp_path / "commands"
    docs_site("commands").write_commands(folder)
    pages = {page.stem: page.read_text() for page in folder.glob("*.md") if page.stem != "index"}

    assert {"check", "debug", "explain", "grade", "regrade", "run"} <= set(pages)
    assert [name for name, text in pages.items() if f"$ bnbench {name} " not in text] == []


SITE = {
    "index.html": '<h1 id="top">x</h1><a href="a/b.html#there">b</a><a href="https://x.org">far</a><img src="x.svg">',
    "a/b.html": '<p id="there">y</p><a href="../index.html#top">up</a><a href="#there">here</a>',
    "x.svg": "<svg></svg>",
}


def site(folder, more=""):
    (folder / "a").mkdir()
    for name, content in SITE.items():
        (folder / name).write_text(content + more if name == "index.html" else content)
    return folder


def test_a_whole_site_has_no_broken_link(links, tmp_path):
    assert list(links.broken(site(tmp_path))) == []


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ('<a href="a/c.html">', "links to a/c.html, which is not there"),
        ('<a href="a/b.html#gone">', "links to a/b.html#gone: no such place on that page"),
        ('<a href="#gone">', "links to #gone: no such place on that page"),
        ('<img src="y.png">', "links to y.png, which is not there"),
        ('<script src="https://x.org/a.js">', "loads https://x.org/a.js from the network"),
        ('<link rel="stylesheet" href="//x.org/a.css">', "loads //x.org/a.css from the network"),
    ],
)
def test_a_broken_link_and_a_foreign_script_are_found(links, tmp_path, more, fault):
    assert list(links.broken(site(tmp_path, more))) == [f"index.html {fault}"]
