# ruff: noqa: T201 - a command
"""A made-up class, for how fast a class is graded and whether every verdict is right.

    python tests/bank/classroom.py SUBMISSIONS [--students 200]
    bnbench grade SUBMISSIONS --assignment cs231n-batchnorm --out GRADED --jobs 2 --no-diagnose
    python tests/bank/classroom.py SUBMISSIONS --check GRADED

Of ten students three hand in right layers, six wrong ones, and one an attack appended to right layers. A
line with the student's number makes each file another submission.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

BANK = Path(__file__).parent
RIGHT = [BANK.parent / "submissions" / "layers.py", *sorted((BANK / "correct").glob("*.py"))]
ENTRIES = tomllib.loads((BANK / "bank.toml").read_text())["wrong"]
WRONG = [BANK / entry["file"] for entry in ENTRIES if entry["function"].startswith("batchnorm_")]
HOSTILE = sorted((BANK / "hostile").glob("*.py"))
RIGHT_OUTCOMES = {"passed", "missing"}


def kind_of(student: int) -> str:
    """What the student hands in: ``right``, ``wrong`` or ``hostile``."""
    return "hostile" if student % 10 == 9 else "right" if student % 10 in (0, 3, 6) else "wrong"


def write(folder: Path, students: int) -> None:
    """Write ``folder/NNN-kind-name/layers.py`` for every student."""
    for student in range(students):
        kind, turn = kind_of(student), student // 10
        if kind == "right":
            path = RIGHT[(turn * 3 + student % 10 // 3) % len(RIGHT)]
        else:
            files = WRONG if kind == "wrong" else HOSTILE
            path = files[(student if kind == "wrong" else turn) % len(files)]
        base = RIGHT[0].read_text() + "\n\n" if kind == "hostile" else ""
        place = folder / f"{student:03d}-{kind}-{path.stem}"
        place.mkdir(parents=True)
        (place / "layers.py").write_text(f"{base}{path.read_text()}\n# student {student}\n")


def wrong_verdicts(journal: Path, students: int) -> Iterator[str]:
    """Say which verdicts are wrong: of the right, the wrong, and the missing ones."""
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    grades = {line["grade"]["file"]: line["grade"] for line in lines if line["grade"]}
    if len(lines) != students or len(grades) != students:
        yield f"{len(lines)} lines of the journal with {len(grades)} grades for {students} students"
    for file, grade in sorted(grades.items()):
        outcomes = [result["outcome"] for result in grade["results"]]
        right = set(outcomes) <= RIGHT_OUTCOMES
        if "grader_error" in outcomes or ("-right-" in file and not right) or ("-wrong-" in file and right):
            yield f"{file}: {outcomes}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("submissions", type=Path)
    parser.add_argument("--students", type=int, default=200)
    parser.add_argument("--check", type=Path, metavar="GRADED", help="say which verdicts in this folder are wrong")
    options = parser.parse_args()
    if options.check is None:
        write(options.submissions, options.students)
        return 0
    [journal] = options.check.glob("sets/*/journal.jsonl")
    wrong = list(wrong_verdicts(journal, sum(1 for _ in options.submissions.iterdir())))
    print("\n".join([*wrong, f"{len(wrong)} wrong verdicts"]))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
