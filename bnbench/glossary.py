"""Every word that ``bnbench explain`` knows: checks, quantities, mistakes, verdicts, outcomes, units.

A meaning that stands in the code that prints the word is taken from there, so that no two texts can differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from bnbench.conclusion import Kind
from bnbench.diagnose.diagnosis import State
from bnbench.diagnose.hints import NOUNS, PROOFS, SLIPS, Hints
from bnbench.diagnose.uw import StageVerdict
from bnbench.grading.model import Outcome, Visibility
from bnbench.grading.roster import Standing
from bnbench.grading.student import MARKS
from bnbench.report.diagnosis import STATES
from bnbench.report.entry import Entry
from bnbench.report.graph import MEANINGS as LINE_MEANINGS
from bnbench.report.words import MEANINGS
from bnbench.sandbox.tiers import NOT_ENFORCED, Tier
from bnbench.tolerances import BANDS, NOISE

INPUTS = {
    "x": f"{NOUNS['x']}, (N, C) or (N, C, *spatial)",
    "gamma": f"{NOUNS['gamma']}, one value per channel: y = gamma x_hat + beta",
    "beta": f"{NOUNS['beta']}, one value per channel: y = gamma x_hat + beta",
    "eps": "the small number that is added to the variance, under the root: sd = sqrt(var + eps)",
    "dy": f"{NOUNS['dy']}: the derivative of the loss with respect to y, shaped as y; courses call it dout",
    "dscaled": "dscaled = dy: a sum hands its gradient to both summands unchanged",
}
LETTERS = {
    "N": "the rows of x: examples of a batch",
    "C": "the channels of x; of (N, D) data the features, D in courses",
    "M": "the elements that are normalized together: N times the spatial size in batch norm",
    "momentum": "the weight of the new batch in the running averages; in cs231n the weight of the old average",
    "ddof": "0 or 1: a variance is divided by M - ddof",
}
CONCLUSIONS = {
    Kind.CORRECT: "the forward is as declared, and the backward is its derivative",
    Kind.OTHER_CONVENTION: "the forward follows another convention that is known (eps outside the root, ddof 1, ...), "
    "and the backward is its derivative",
    Kind.WRONG_FORWARD: "the forward is not as declared; the backward is the derivative of that forward, so that a "
    "gradient check alone passes",
    Kind.WRONG_BACKWARD: "the forward is as declared, and the backward is not its derivative",
    Kind.WRONG_BOTH: "the forward is not as declared, and the backward is not even its derivative",
    Kind.UNDECIDED: "forward or backward could not be measured",
}
STAGES = {
    StageVerdict.RIGHT: "right on true inputs",
    StageVerdict.WRONG: "wrong, on true inputs",
    StageVerdict.FOLLOWS: "right on what the submission's own earlier stages give, which are the ones to repair",
    StageVerdict.UNIMPLEMENTED: "still the starter's",
    StageVerdict.MISSING: "not in the file",
    StageVerdict.CRASHED: "ended by a signal, or without an answer",
    StageVerdict.TIMEOUT: "did not answer in time",
}
STANDINGS = {
    Standing.GRADED: "has points",
    Standing.NOT_SUBMITTED: "is on the roster and handed in nothing: an empty cell, no zero",
    Standing.MISSING_FILE: "handed in something, but not the file that was asked for, or not readable: an empty cell",
    Standing.GRADER_ERROR: "the grader had trouble: no grade yet; run again with --resume",
}
LEVELS = {
    Hints.NONE: "only which functions are right",
    Hints.WHAT: "which quantity is wrong, and in which way",
    Hints.WHERE: "the line too",
    Hints.HOW: "the correction too",
}
SEEN = {
    Visibility.VISIBLE: "its student sees it at once",
    Visibility.AFTER_DUE_DATE: "its student sees it when no more can be handed in",
    Visibility.HIDDEN: "its student sees only that there is such an item",
}
TIERS = {
    Tier.T0: "a process of its own: a deadline, a clean environment, verdicts elsewhere",
    Tier.T1: "limits of memory and CPU time, no new privileges; as root, a user of its own",
    Tier.T2: "Landlock and seccomp: no files, no network, no other process; the first that is called a sandbox",
    Tier.T3: "namespaces: what is not granted does not exist",
    Tier.T4: "a control group for each worker: memory and processes of all that it starts",
}
PLUGIN_STATES = {
    "available": "it can be loaded here",
    "unavailable": "what it needs is not installed; the reason says what to do",
    "broken": "a plugin that could not be imported or declares nothing valid: exit code 3",
}
NUMBERS = {
    "error / limit": "the largest error as a share of its limit: beyond 1 the check fails",
    "relative error": "the largest |a - b| / max(1e-8, |a| + |b|) of all elements, as courses print it: never judged",
    "z": f"a deviation in units of the measured noise of the very functions it was measured on; the limit is "
    f"{NOISE.limit:g}",
}
TIMINGS = {
    "baseline": "the implementation that the others of the same norm are compared with",
    "ratio": "the baseline's time over this one's: above 1 is faster. A median over rounds with its interval at 95 %; "
    "one that includes 1 is no difference resolved",
    "GB/s": "the bytes that no implementation can avoid moving, over the time",
    "faults_per_call": "pages of fresh memory that the system handed out during a call: 0 where memory is reused",
    "not timed": "left out of the timings for the reason given, such as an essential check that it does not pass",
}
UNITS = {
    NOISE.unit: f"the limit is {NOISE.limit:g}: {NOISE.because}",
    "rounding units": "the roundoff of the dtype times the condition of the quantity (max|x| / sd for y): what "
    "rounding alone loses, however good the code",
    "calibrated units": "eight times the larger error of two honest evaluations of the definition on the same data",
    "ulps": "units in the last place: neighbouring numbers of the dtype differ by one",
    "differences": "a claim about bits, or about a fact, holds or does not: the limit is 0",
}
ACCURACY = {
    "A": "an error within 1 rounding unit",
    "B": "an error within 8 rounding units",
    "C": "an error beyond 8 rounding units, or not a number",
}


def entries() -> Mapping[str, Entry]:
    """Every entry by its word: checks in their order, then quantities, then words, then wrong normalizations."""
    from bnbench.checks import ALL_CHECKS
    from bnbench.diagnose.steps import STEPS
    from bnbench.mutants import ALL_MUTANTS
    from bnbench.report.catalogue import check_entry, mutant_entry, step_entry, word_entry

    bugs = {mutant.name: mutant.bug for mutant in ALL_MUTANTS}
    codes: dict[str, list[str]] = {}
    for check in ALL_CHECKS:
        codes.setdefault(check.mutant, []).append(check.code)
    senses: dict[str, dict[str, str]] = {}
    for word, kind, meaning in _words():
        senses.setdefault(word, {})[kind] = meaning
    return {
        **{check.code: check_entry(check, bugs[check.mutant]) for check in ALL_CHECKS},
        **{step.quantity: step_entry(step) for step in STEPS.values()},
        **{word: word_entry(word, known) for word, known in senses.items() if word not in STEPS},
        **{mutant.name: mutant_entry(mutant, codes.get(mutant.name, ())) for mutant in ALL_MUTANTS},
    }


def find(word: str) -> Entry | None:
    """The entry of a word, whatever its case, and with spaces for underscores; None if there is none."""
    known = entries()
    if word in known:
        return known[word]
    folded = {name.casefold().replace(" ", "_"): entry for name, entry in reversed(tuple(known.items()))}
    return folded.get(word.casefold().replace(" ", "_"))


def _words() -> Iterator[tuple[str, str, str]]:
    """Word, where it is printed, and what it means there."""
    tables: dict[str, Iterable[tuple[str, str]]] = {
        "quantity": INPUTS.items(),
        "letter": LETTERS.items(),
        "verdict of a check": MEANINGS.items(),
        "verdict on an implementation": CONCLUSIONS.items(),
        "band of the relative error": _bands().items(),
        "kind of mistake": SLIPS.items(),
        "state of a function": {State.WRONG: "an output of it is wrong", **STATES}.items(),
        "mark of a line": LINE_MEANINGS.items(),
        "state of a C function": STAGES.items(),
        "how a mistake is known": PROOFS.items(),
        "level of hints": LEVELS.items(),
        "outcome of an item": ((mark, _outcome(mark)) for mark in Outcome),
        "mark of an item": _marks().items(),
        "standing of a student": STANDINGS.items(),
        "visibility of an item": SEEN.items(),
        "tier of isolation": ((tier, f"{TIERS[tier]}. Left open: {', '.join(NOT_ENFORCED[tier])}") for tier in Tier),
        "state of an implementation": PLUGIN_STATES.items(),
        "number": NUMBERS.items(),
        "accuracy grade": ACCURACY.items(),
        "column of timings": TIMINGS.items(),
        "unit of an error": UNITS.items(),
    }
    for kind, table in tables.items():
        for word, meaning in table:
            yield str(word), kind, meaning


def _bands() -> dict[str, str]:
    bounds = {word: f"up to {end:g}" for end, word in BANDS}
    return {**bounds, "wrong": f"beyond {BANDS[-1][0]:g}, or not a number"}


def _outcome(outcome: Outcome) -> str:
    mark = MARKS[outcome]
    sentence = mark.sentence or "every check of the item passed"
    return f"{sentence}; shown as {mark.word}"


def _marks() -> dict[str, str]:
    marks: dict[str, str] = {}
    for outcome, mark in MARKS.items():
        known = f"{marks[mark.word]}, or " if mark.word in marks else ""
        marks[mark.word] = f"{known}{outcome}: {mark.sentence or 'every check of the item passed'}"
    return marks
