# ruff: noqa: T201 - a command
"""How often the diagnosis of a file agrees with what its entry in the bank says.

    python tests/bank/score.py [--held-out] [file ...]

Each wrong file is diagnosed as a student would have it, and the first suspect of its layer is compared with the
entry: the cause, which is the slip and the quantity, and the line.
"""

from __future__ import annotations

import argparse
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal
from unittest.mock import patch

from bnbench.adapters.cs231n import LAYERS
from bnbench.debugging import diagnose_file
from bnbench.diagnose.suspect import Suspect

BANK = Path(__file__).parent
PLOTTING = {"matplotlib": SimpleNamespace(pyplot=None, cm=None), "matplotlib.pyplot": SimpleNamespace()}
"""Some files import what they never use; it need not be installed."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """One file."""

    file: str
    cause: Literal["right", "wrong", "undecided"]
    """Undecided without a suspect, or with one that names no slip."""
    line: Literal["right", "wrong", "none"]
    seconds: float
    says: str
    """The suspect in a few words."""


def wrong_files(*, held_out: bool = False) -> list[dict[str, Any]]:
    """The entries of the wrong files, of the development bank or of the one kept aside."""
    manifest = BANK / ("held_out.toml" if held_out else "bank.toml")
    entries: list[dict[str, Any]] = tomllib.loads(manifest.read_text())["wrong"]
    return entries


def correct_files(*, held_out: bool = False) -> list[Path]:
    """The files without a mistake, of either bank."""
    return sorted((BANK / ("held_out_correct" if held_out else "correct")).glob("*.py"))


def suspects_of(path: Path, function: str | None = None) -> tuple[Suspect, ...]:
    """The suspects of the layers that have this function, or of all, in the order in which they are told."""
    with patch.dict(sys.modules, PLOTTING):
        diagnosis = diagnose_file(path)
    layers = {layer.name for layer in LAYERS if function in (None, layer.forward, layer.backward)}
    return tuple(suspect for layer in diagnosis.layers if layer.name in layers for suspect in layer.suspects)


def score(entry: dict[str, Any]) -> Score:
    """The first suspect for a wrong file, compared with its entry."""
    start = time.process_time()
    suspect = next(iter(suspects_of(BANK / entry["file"], entry["function"])), None)
    seconds = time.process_time() - start
    if suspect is None:
        return Score(file=entry["file"], cause="undecided", line="none", seconds=seconds, says="")
    agrees = suspect.slip in entry["slip"] and suspect.quantity in entry["quantity"]
    # What is missing stands nowhere: no line is a wrong answer only where a line was asked for.
    line = "none" if suspect.line is None else "right" if suspect.line in entry["lines"] else "wrong"
    return Score(
        file=entry["file"],
        cause="undecided" if suspect.slip is None else "right" if agrees else "wrong",
        line=line,
        seconds=seconds,
        says=f"line {suspect.line}: {suspect.slip}, {suspect.quantity} ({suspect.proof})",
    )


def scores(entries: Iterable[dict[str, Any]]) -> Iterator[Score]:
    """The scores of these entries, one after another."""
    return (score(entry) for entry in entries)


def totals(found: Iterable[Score]) -> dict[str, Counter[str]]:
    """How many causes and lines are right, wrong, and left open."""
    found = list(found)
    return {"cause": Counter(one.cause for one in found), "line": Counter(one.line for one in found)}


def main(arguments: list[str] | None = None) -> None:
    """Print the score of every file, then the totals."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--held-out", action="store_true", help="the bank that is kept aside")
    parser.add_argument("file", nargs="*", help="only entries whose file contains one of these")
    options = parser.parse_args(arguments)
    entries = wrong_files(held_out=options.held_out)
    found = []
    for entry in entries:
        if options.file and not any(part in entry["file"] for part in options.file):
            continue
        one = score(entry)
        found.append(one)
        print(f"{one.file:50} {one.cause:9} {one.line:5} {one.seconds:5.2f} s  {one.says}", flush=True)
    print(f"\n{len(found)} files")
    for what, counts in totals(found).items():
        print(f"{what}: " + ", ".join(f"{count} {answer}" for answer, count in counts.most_common()))
    seconds = sorted(one.seconds for one in found)
    if seconds:
        print(f"seconds: median {seconds[len(seconds) // 2]:.2f}, at most {seconds[-1]:.2f}")
    if not options.file:
        accused = [path.name for path in correct_files(held_out=options.held_out) if suspects_of(path)]
        print(f"correct files with a suspect: {', '.join(accused) or 'none'}")


if __name__ == "__main__":
    main()
