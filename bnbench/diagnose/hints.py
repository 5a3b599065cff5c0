"""What is said to a student about a suspect: as much as is allowed, in the student's own names."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from enum import StrEnum
from fractions import Fraction

from bnbench.diagnose.cause import QUANTITIES, Cause, Slip
from bnbench.diagnose.corrections import functions_of
from bnbench.diagnose.edits import Edit, scope
from bnbench.diagnose.points import OF_THE_BATCH
from bnbench.diagnose.steps import STEPS
from bnbench.diagnose.suspect import Proof, Suspect

LONGEST = 60
"""Characters of an expression that is quoted within a sentence; a longer one is named by its line."""
ALIKE = 0.6
"""How similar (difflib's ratio) a name must be to be taken for the one that was meant."""


class Hints(StrEnum):
    """How much a hint gives away, each level with those before it."""

    NONE = "none"
    WHAT = "what"
    """Which quantity is wrong, and in which way."""
    WHERE = "where"
    """The line too."""
    HOW = "how"
    """The correction too."""


NOUNS: dict[str, str] = {
    "x": "the input",
    "gamma": "the scale",
    "beta": "the shift",
    "eps": "the small number under the root",
    "mu": "the mean",
    "xc": "x minus its mean",
    "sq": "the square of x minus its mean",
    "var": "the variance",
    "sd": "the standard deviation",
    "inverse_sd": "1 over the standard deviation",
    "x_hat": "the normalized x",
    "scaled": "gamma times the normalized x",
    "y": "the output",
    "running_mean": "the running mean",
    "running_var": "the running variance",
    "dy": "the gradient that comes in",
    "cache": "what the forward hands to the backward",
}

SLIPS: dict[Slip, str] = {
    Slip.REDUCTION: "it is summed or averaged over the wrong axis, over everything, or not at all",
    Slip.COUNT: "it is divided by the wrong count, or not at all; or a mean stands for a sum, or a sum for a mean",
    Slip.FACTOR: "a factor is missing or too much",
    Slip.SIGN: "its sign, or that of a part of it, is the wrong way round",
    Slip.POWER: "a root, a square or a reciprocal is missing, or too much",
    Slip.OPERAND: "another quantity stands where this one belongs",
    Slip.OPERATION: "another operation stands where a quotient, a product or a sum belongs",
    Slip.TERM: "a summand is missing or too much: add up what arrives along every path, each once",
    Slip.EPS: "eps is missing, stands outside the root, or is another one than elsewhere",
    Slip.STATE: "the running average is not kept as it should be",
    Slip.MODE: "the statistics are those of the other mode: train mode takes the batch's, test mode the running ones",
    Slip.ORDER: "the values are right and stand in another order than they are taken in",
    Slip.IN_PLACE: "it is overwritten, while it is still needed or belongs to the caller",
    Slip.LAYOUT: "the values are right and the axes are mixed up: a reshape does not do what a transpose does",
    Slip.UNDEFINED: "a name is used that has no value there",
    Slip.RAISES: "the function ends with an exception",
    Slip.UNIMPLEMENTED: "nothing is computed for it yet",
}
"""Each kind of mistake, in words that fit any quantity."""

WEIGHTS = {"momentum": "the weight of the new batch", "1-momentum": "the weight of the old average"}
"""What courses call momentum is one of the two."""

UNNAMED = "it is not what it should be, in a way that has no short name"

PROOFS: dict[Proof, str] = {
    "edited": "With this change every output is right.",
    "replayed": "With the right value in its place, every output that depends on it is right.",
    "recognized": "This is what the numbers look like; it was not proven by a corrected run.",
}


def hint(suspect: Suspect, level: Hints) -> str:
    """One to four sentences about a suspect; empty for :attr:`Hints.NONE`.

    ``what`` names the quantity and the mistake, and neither a line nor what stands on it. ``where`` adds the line,
    the student's own name, what its value is and why it should be another. ``how`` adds the corrected line, and says
    how it was proven, or that it was not.
    """
    if level is Hints.NONE:
        return ""
    if level is Hints.WHAT:
        return _what(suspect)
    line = "In no single line" if suspect.line is None else f"Line {suspect.line}"
    parts = [f"{line}: {sentence(suspect)}", _why(suspect)]
    if level is Hints.HOW:
        parts += _how(suspect)
    return " ".join(part for part in parts if part)


def cause_hint(cause: Cause, level: Hints) -> str:
    """The same of a cause that the answers alone gave away, where no line is known."""
    if level is Hints.NONE:
        return ""
    slip = SLIPS[cause.slip] if cause.slip is not None else UNNAMED
    sure = "" if cause.decided else "Probably, though something else may explain it as well: "
    if level is Hints.WHAT:
        return _capital(f"{sure}{noun(cause.quantity)} ({cause.quantity}): {slip}.")
    said = _capital(f"{sure}{cause.sentence.rstrip('.')}.")
    if level is Hints.HOW and cause.quantity in STEPS:
        return f"{said} Right is {STEPS[cause.quantity].formula}."
    return said


def sentence(suspect: Suspect) -> str:
    """What a line does wrong, to be read after its number or its source."""
    name = own_name(suspect)
    quoted = f"`{name}`" if name else "the value there"
    match suspect.slip:
        case Slip.UNDEFINED:
            return f"{suspect.message.strip()}.{_defined_elsewhere(suspect)}"
        case Slip.RAISES:
            return f"the run ends here with {suspect.message.strip()}."
        case Slip.UNIMPLEMENTED:
            return f"{suspect.should_be or suspect.quantity} is None: nothing is computed for it yet."
        case Slip.IN_PLACE:
            now = f", which holds {shown(suspect.shows)} afterwards" if suspect.shows else ""
            return f"{quoted} is changed in place{now}. It is still needed, or belongs to the caller."
        case Slip.ORDER:
            return _order(suspect)
    return _deviation(suspect, quoted)


def noun(quantity: str) -> str:
    """A quantity in words: ``the gradient of the variance``."""
    if quantity in NOUNS:
        return NOUNS[quantity]
    return f"the gradient of {NOUNS.get(quantity.removeprefix('d'), quantity)}"


def shown(name: str) -> str:
    """What a value was recognized as, in words: ``the new running_mean``."""
    if name in WEIGHTS:
        return WEIGHTS[name]
    for suffix, adjective in (("(after)", "new"), ("(before)", "old")):
        name = re.sub(rf"(\w+) {re.escape(suffix)}", rf"the {adjective} \1", name)
    name = name.removesuffix(", element by element").removesuffix(" divided by 1")
    return " ".join(name.removeprefix("--").split())


def own_name(suspect: Suspect) -> str:
    """What the student calls the wrong value, if that is short enough to be quoted; else empty."""
    name = suspect.name
    return "" if name.isdigit() or len(name) > LONGEST or "\n" in name else name


def proposed(suspect: Suspect) -> Edit | None:
    """The correction that is worth showing: of an undefined name only another name that is like it."""
    if suspect.correction is None:
        return None
    edit = suspect.correction.edit
    if suspect.slip is Slip.UNDEFINED and not (edit.before == _undefined(suspect) and edit.after == meant(suspect)):
        return None
    return edit


def meant(suspect: Suspect) -> str:
    """The name that was probably meant by an undefined one; empty where none is like it."""
    undefined = _undefined(suspect)
    if not undefined or suspect.correction is None or suspect.message.startswith("UnboundLocalError"):
        return ""
    after = suspect.correction.edit.after
    known = [name for function in functions_of(suspect.correction.definition) for name in scope(function)]
    if suspect.correction.edit.before == undefined and difflib.SequenceMatcher(None, undefined, after).ratio() >= ALIKE:
        return after
    near = difflib.get_close_matches(undefined, [name for name in known if name != undefined], n=1, cutoff=ALIKE)
    return near[0] if near else ""


def proof_words(suspect: Suspect) -> str:
    """How surely it is known."""
    if suspect.proof == "edited" and proposed(suspect) is None:
        return ""  # an exception needs no proof
    if suspect.proof == "recognized" and (suspect.message or suspect.slip in (Slip.UNIMPLEMENTED, Slip.IN_PLACE)):
        return ""
    if suspect.partial:
        means = "this change" if suspect.proof == "edited" else "the right value in its place"
        are = "is" if len(suspect.mends) == 1 else "are"
        return f"With {means} {' and '.join(suspect.mends)} {are} right; something else is wrong too."
    return PROOFS[suspect.proof]


def _what(suspect: Suspect) -> str:
    within = f"In {suspect.function}, " if suspect.function else ""
    if suspect.message:
        return _capital(f"{within}{SLIPS[suspect.slip or Slip.RAISES]}: {suspect.message.strip()}.")
    slip = SLIPS[suspect.slip] if suspect.slip is not None else UNNAMED
    return _capital(f"{within}{noun(suspect.quantity)} ({suspect.quantity}) is wrong: {slip}.")


def _order(suspect: Suspect) -> str:
    if suspect.quantity == "cache":
        return "the cache is unpacked in another order than the forward packed it."
    return "the values are right and returned in another order than (dx, dgamma, dbeta)."


def _deviation(suspect: Suspect, quoted: str) -> str:
    seen, right = shown(suspect.shows), shown(suspect.should_be)
    slip = SLIPS[suspect.slip] if suspect.slip is not None else UNNAMED
    if rule := _rule(seen, right):
        return f"{quoted} is {seen}, {rule}."
    if suspect.quantity == "eps" or not (seen or right):
        return f"{quoted} is not right: {slip}."
    if not seen:
        return f"{quoted} is not {right}, which belongs there: {slip}."
    if right in ("", seen) or suspect.slip is Slip.LAYOUT:
        return f"{quoted} is {seen}: {slip}."
    if seen.startswith((f"{right},", f"{right}:", f"{right} without", f"{right} with ")):
        return f"{quoted} is {seen}."
    factor = factor_of(seen, right)
    if factor and suspect.slip is Slip.FACTOR:
        slip = f"a factor {factor} is missing"
    elif factor and suspect.slip is Slip.COUNT:
        slip = f"a factor {factor} is missing, so a count is wrong"
    return f"{quoted} is {seen}, where {right} belongs: {slip}."


def _rule(seen: str, right: str) -> str:
    """What the paper says against a quantity that is right elsewhere; empty for any other."""
    if seen.endswith(OF_THE_BATCH):
        return "and test mode normalizes by the running averages"
    return "and its divisor must be M" if seen == f"{right} of divisor M-1" else ""


def factor_of(seen: str, right: str) -> str:
    """What is missing in ``2 dvar`` for ``dvar``: ``1/2``; empty where that is not said by the words alone.

    >>> factor_of("2 dvar", "dvar"), factor_of("H W x dsq", "dsq"), factor_of("dgamma with x", "dgamma")
    ('1/2', '1/(H W)', '')
    """
    factor = seen.removesuffix(right)
    if factor == seen or not factor.strip():
        return ""
    factor = factor.strip().removesuffix(" x").strip()
    try:
        return str(1 / Fraction(factor))
    except (ValueError, ZeroDivisionError):
        pass
    upper, slash, lower = factor.partition("/")
    if slash:
        return f"{lower}/({upper})" if " " in upper else f"{lower}/{upper}"
    return f"1/({factor})" if " " in factor else f"1/{factor}"


def _defined_elsewhere(suspect: Suspect) -> str:
    if suspect.message.startswith("UnboundLocalError"):
        return " It gets its value in another branch, or further down."
    name = meant(suspect)
    return f" Is `{name}` meant?" if name else " No parameter and no assignment before this line gives it a value."


def _why(suspect: Suspect) -> str:
    if (
        suspect.slip in (Slip.UNDEFINED, Slip.RAISES, Slip.IN_PLACE, Slip.ORDER, Slip.LAYOUT)
        and suspect.quantity != "cache"
    ):
        return ""
    step = STEPS.get(suspect.quantity)
    return f"{step.formula}. {step.why}" if step else ""


def _how(suspect: Suspect) -> Iterator[str]:
    edit = proposed(suspect)
    if edit is not None:
        yield f"Line {edit.line} corrected: `{' '.join(edit.corrected.split())}`."
    elif suspect.proof == "replayed":
        yield "No small change of the line was found that does it."
    yield proof_words(suspect)


def _undefined(suspect: Suspect) -> str:
    return suspect.message.split("'")[1] if suspect.slip is Slip.UNDEFINED and suspect.message.count("'") > 1 else ""


def _capital(sentence: str) -> str:
    """A name stays as it is written."""
    return sentence if sentence.partition(" ")[0] in QUANTITIES else sentence[:1].upper() + sentence[1:]
