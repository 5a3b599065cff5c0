"""Reports as the commands of this very version write them: a gallery that can't show what no longer is."""

from __future__ import annotations

import html
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
BANK = "tests/bank"
CLASS = {
    "ann": f"{BANK}/correct/one_expression.py",
    "bob": f"{BANK}/wrong/dvar_sign.py",
    "cy": f"{BANK}/wrong/eps_missing_in_test.py",
    "dee": f"{BANK}/wrong/momentum_swapped.py",
    "eve": f"{BANK}/hostile/import_the_reference.py",
}
"""A made-up class: who hands in which file of the repository. Flo hands in nothing."""
ROSTER = "username,first_name,last_name,email,section,github_id\n" + "".join(
    f"{name},{name.capitalize()},Doe,{name}@example.edu,A,\n" for name in (*CLASS, "flo")
)


class Command(NamedTuple):
    """A command line, and the exit code that shows that it did what it is shown for."""

    line: str
    code: int


RUN = Command("bnbench run numpy_staged numpy_simplified c_fused --quick --budget 0.02 --output {out}/run --quiet", 0)
BROKEN = Command(
    "bnbench run broken_backward numpy_staged --plugin tests/plugins/broken_backward.py --quick --budget 0.02 "
    "--output {out}/broken --quiet",
    1,
)
DEBUG = Command(
    f"bnbench debug {BANK}/wrong/half_dropped.py --html {{out}}/why.html --graph {{out}}/why.svg "
    "--markdown {out}/why.md --quiet",
    1,
)
GRADE = Command(
    "bnbench grade {out}/submissions --assignment cs231n-batchnorm --roster {out}/roster.csv --out {out}/class --quiet",
    0,
)


def write_gallery(folder: Path, extra: Path) -> None:
    """Write ``gallery/*.md`` below ``folder``, and what the pages show below ``extra``.

    Raises RuntimeError with the command and what it said where an exit code is not the one expected.
    """
    out = extra / "gallery" / "files"
    out.mkdir(parents=True)
    for student, file in CLASS.items():
        (out / "submissions" / student).mkdir(parents=True)
        shutil.copy(ROOT / file, out / "submissions" / student / "layers.py")
    (out / "roster.csv").write_text(ROSTER)
    with ThreadPoolExecutor(2) as pool:
        for _ in pool.map(lambda command: _run(command, out), (RUN, BROKEN, DEBUG, GRADE)):
            pass
    shutil.rmtree(out / "submissions")
    shutil.rmtree(out / "class" / "sets")  # the journal is for the instructor's disk
    for secret in (out / "class" / "secret", out / "roster.csv"):
        secret.unlink()
    pages = folder / "gallery"
    pages.mkdir()
    kept = ROOT / "reports" / "sample"
    shutil.copy(kept / "index.html", out / "sample.html")
    for page in ("kernels.md", "scale.md"):
        shutil.copy(kept / page, pages)
    (pages / "summary.md").write_text((out / "run" / "report.md").read_text())
    for source in (kept, out / "run"):
        for chart in sorted(source.rglob("*.svg")):
            place = pages / chart.relative_to(source)
            place.parent.mkdir(exist_ok=True)
            shutil.copy(chart, place)
    (pages / "diagnosis.md").write_text((out / "why.md").read_text())
    (pages / "index.md").write_text("\n\n".join(_index()) + "\n")


def _index() -> Iterable[str]:
    yield "# Gallery"
    yield (
        "Reports as bnbench writes them. All but those marked *kept* were made when this site was built, by the "
        "command above each. Every page is one file that needs no network."
    )
    yield from _shown("A run", RUN, "run/index.html", "The page opens with what was verified and on what machine.")
    yield "The same run [as Markdown](summary.md) with its charts as files, for an issue or a pull request."
    yield from _shown("A run that fails", BROKEN, "broken/index.html", "One term of `dx` is missing in this plugin.")
    yield from _shown("A diagnosis", DEBUG, "why.html", "A student's file, its first wrong line, and the correction.")
    yield "The same [as Markdown](diagnosis.md), and the graph of the run alone, as SVG:"
    yield _raw('<img class="report" src="files/why.svg" alt="The graph of the run, with dvar marked wrong">')
    yield from _shown(
        "A class", GRADE, "class/class.html", "Six students: one hands in nothing, and one asks the grader's reference."
    )
    yield _raw('<p>What one of them is told: <a href="files/class/feedback/bob.html">the feedback for Bob</a>.</p>')
    yield "## All implementations (kept)"
    yield _raw('<p>A full run takes minutes: <a href="files/sample.html">the one in the repository</a>.</p>')
    yield "## The kernels (kept)"
    yield "[The fused kernels against torch and the memory](kernels.md), from `bnbench kernels`."
    yield "## The cost of verifying (kept)"
    yield "[Time and memory up to millions of elements](scale.md), from `bnbench scale`."
    yield "```{toctree}\n:hidden:\n\nsummary\ndiagnosis\nkernels\nscale\n```"


def _shown(title: str, command: Command, file: str, sentence: str) -> Iterable[str]:
    line = command.line.replace("{out}/", "").removesuffix(" --quiet")
    yield f"## {title}"
    yield f"```console\n$ {line}\n```"
    yield sentence
    place = html.escape(f"files/{file}")
    yield _raw(
        f'<p><a href="{place}">Open it alone</a></p>\n'
        f'<iframe class="report" loading="lazy" title="{title}" src="{place}"></iframe>'
    )


def _raw(text: str) -> str:
    return f"```{{raw}} html\n{text}\n```"


def _run(command: Command, out: Path) -> None:
    words = command.line.format(out=out).split()
    done = subprocess.run(  # noqa: S603 - a command of this file
        [sys.executable, "-m", *words],
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != command.code:
        raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
