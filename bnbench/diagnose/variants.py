"""What a quantity becomes by one known slip: another eps, another divisor, another reduction, other operands."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import combinations
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from bnbench.diagnose.cause import Quantity
from bnbench.diagnose.index import Index, build
from bnbench.diagnose.layouts import Form, axes_of, form
from bnbench.diagnose.quantities import Quantities
from bnbench.model import Array

Kind: TypeAlias = Literal[
    "exact",
    "order",
    "factor",
    "eps",
    "divisor",
    "reduction",
    "operand",
    "state",
    "mode",
    "power",
    "product",
    "term",
    "shifted",
]


class Variant(NamedTuple):
    """A quantity with one slip."""

    quantity: str
    node: Quantity | None
    kind: Kind
    detail: str


OTHER_EPS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-10)
"""What is written in place of the option eps; smaller ones can't be told from none."""

TARGETS: dict[str, tuple[str, tuple[str, ...]]] = {
    "mu": ("mean", ("x",)),
    "var": ("mean", ("sq",)),
    "dbeta": ("sum", ("dy",)),
    "dgamma": ("sum", ("dy", "x_hat")),
    "dinverse_sd": ("sum", ("dx_hat", "xc")),
    "dmu": ("-sum", ("dxc",)),
    "mean(dy)": ("mean", ("dy",)),
    "mean(dx_hat)": ("mean", ("dx_hat",)),
    "sum(dx_hat)": ("sum", ("dx_hat",)),
    "mean(dx_hat x_hat)": ("mean", ("dx_hat", "x_hat")),
    "sum(dx_hat x_hat)": ("sum", ("dx_hat", "x_hat")),
}
"""The quantities that are reductions: how, and of the product of what."""

OPERANDS = ("dy", "dx_hat", "dxc", "dx", "x", "xc", "sq", "x_hat", "scaled", "y")
"""What may stand under a sum in place of what belongs there."""


@lru_cache(maxsize=16)
def variants_index(quantities: Quantities) -> Index:
    """The index of every variant of one run."""
    forms = [*_of_eps(quantities), *_of_statistics(quantities), *_of_reductions(quantities)]
    if "momentum mu" in quantities:
        forms += _of_state(quantities)
    return build(forms)


def _of_state(quantities: Quantities) -> Iterator[Form]:
    """The running averages after the usual slips in their update."""
    new = quantities.inputs.options.momentum
    eps, elements = quantities.inputs.options.eps, float(quantities["M"].values)
    var, sd = quantities["var"].values, quantities["sd"].values
    unbiased = var * elements / max(elements - 1, 1)
    kept: tuple[tuple[Quantity, dict[str, Array]], ...] = (
        ("running_mean", {"": quantities["mu"].values, " of the sum": quantities["mu"].values * elements}),
        (
            "running_var",
            {
                "": var,
                " (divisor M-1)": unbiased,
                " of sqrt(var)": np.sqrt(var),
                " of sd": sd,
                " of var + eps": var + eps,
                " of inverse_sd": 1 / sd,
            },
        ),
    )
    for node, sources in kept:
        before = quantities[f"{node} (before)"].values
        for source, now in sources.items():
            updates = {
                "average": (1 - new) * before + new * now,
                "average with the weights swapped": new * before + (1 - new) * now,
                "sum without decay": before + now,
                "sum without decay of the old": before + new * now,
                "sum without weight of the new": (1 - new) * before + now,
                "average, updated twice": (1 - new) ** 2 * before + (1 - (1 - new) ** 2) * now,
            }
            for words, values in updates.items():
                yield form(Variant(f"{node} (after)", node, "state", f"{words}{source}"), values, values.shape, ("C",))


def _of_eps(quantities: Quantities) -> Iterator[Form]:
    """sd, and what is computed from it, with eps elsewhere, of another value, or with the variance's divisor M-1."""
    eps, var = quantities.inputs.options.eps, quantities["var"].wide
    elements = quantities["M"].values
    deviations: dict[tuple[Kind, str], Array] = {
        ("eps", "without eps"): var,
        ("eps", "with eps outside the root"): (np.sqrt(var) + eps) ** 2,
        ("eps", "with eps squared"): var + eps**2,
        ("eps", "with sqrt(eps)"): var + np.sqrt(eps),
        ("eps", "with eps added twice"): var + 2 * eps,
        ("eps", "with max(var, eps)"): np.maximum(var, eps),
        ("eps", "with eps subtracted"): np.where(var > eps, var - eps, np.nan),
    }
    deviations |= {("eps", f"with eps = {other:g}"): var + other for other in OTHER_EPS if other != eps}
    if (var > eps).all():
        del deviations["eps", "with max(var, eps)"]  # the same as without eps
    if elements > 1:
        deviations["divisor", "with divisor M-1"] = var * elements / (elements - 1) + eps
        deviations["divisor", "with divisor M-1, without eps"] = var * elements / (elements - 1)
    for (kind, detail), squared in deviations.items():
        if np.isfinite(squared).all():
            yield from _downstream(quantities, np.sqrt(squared), None, kind, detail)
    yield from _forms(quantities, Variant("y", "y", "eps", "with eps added to y"), quantities["y"].wide + eps)
    yield from _forms(quantities, Variant("var", "var", "eps", "with eps squared"), var + eps**2)


def _downstream(quantities: Quantities, sd: Array, xc: Array | None, kind: Kind, detail: str) -> Iterator[Form]:
    """What the forward pass makes of another sd and, where given, another xc; all shaped as x."""
    gamma, beta = quantities["gamma"].wide, quantities["beta"].wide
    right = quantities["x" if "xc" not in quantities else "xc"].wide
    x_hat = (right if xc is None else xc) / sd
    made: dict[Quantity, Array] = {"sd": sd, "inverse_sd": 1 / sd, "x_hat": x_hat}
    made |= {"scaled": gamma * x_hat, "y": gamma * x_hat + beta}
    for name, wide in made.items():
        yield from _forms(quantities, Variant(name, name, kind, detail), wide)
    yield from _forms(quantities, Variant("var + eps", "sd", kind, detail), sd**2)
    yield from _forms(quantities, Variant("(var + eps)^(-3/2)", "dvar", kind, detail), sd**-3)
    yield from _forms(quantities, Variant("gamma inverse_sd", "scaled", kind, detail), gamma / sd)
    if "dinverse_sd" in quantities:
        yield from _upstream(quantities, sd, kind, detail)


def _upstream(quantities: Quantities, sd: Array, kind: Kind, detail: str) -> Iterator[Form]:
    """What each node of the backward pass makes of another sd, all else being right."""
    total, target = quantities["dinverse_sd"].wide, "dxc" if "xc" in quantities else "dx"
    made = {
        "dsd": -total / sd**2,
        "dvar": -total / (2 * sd**3),
        "dsq": -total / (2 * sd**3 * quantities["M"].values),
        f"{target} (through x_hat)": quantities["dx_hat"].wide / sd,
        "dx": quantities["dx"].wide * quantities["sd"].wide / sd,
    }
    for name, wide in made.items():
        yield from _forms(quantities, Variant(name, quantities[name].node, kind, detail), wide)


def _forms(quantities: Quantities, label: Variant, wide: Array) -> Iterator[Form]:
    """The form of an array shaped as x, without the axes along which it is constant."""
    sizes, axes = axes_of(quantities.inputs)
    core = wide.reshape(sizes)
    kept = []
    for axis in reversed(range(len(sizes))):
        if sizes[axis] > 1 and (np.diff(core, axis=axis) == 0).all():
            core = np.asarray(core.take(0, axis))
        else:
            kept.append(axis)
    kept.reverse()
    yield form(label, core, tuple(sizes[axis] for axis in kept), tuple(axes[axis] for axis in kept))


def _axes_sets(quantities: Quantities) -> Iterator[tuple[tuple[int, ...], str]]:
    """Every set of axes of x, with words for a reduction over it."""
    sizes, names = axes_of(quantities.inputs)
    for count in range(1, len(sizes) + 1):
        for axes in combinations(range(len(sizes)), count):
            yield axes, over(tuple(names[axis] for axis in axes), names)


def over(reduced: tuple[str, ...], names: tuple[str, ...]) -> str:
    """Words for a reduction over these of the axes ``names``."""
    if reduced == names:
        return "over everything"
    if len(names) == 2:
        return {"N": "over the rows", "C": "over the columns"}[reduced[0]]
    words = [name for name in reduced if name not in ("G", "C/G")]
    if "G" in reduced and "C/G" in reduced:
        words.insert(reduced.index("G"), "C")
    else:
        words += [name for name in reduced if name in ("G", "C/G")]
    return "over " + " and ".join(words)


def right_axes(quantities: Quantities, of_channel: bool) -> tuple[int, ...]:
    """The axes over which a sum over a channel, or over a block, goes."""
    _, names = axes_of(quantities.inputs)
    norm = quantities.inputs.options.norm
    channel = tuple(axis for axis, name in enumerate(names) if name not in ("C", "G", "C/G"))
    if of_channel or norm == "batch":
        return channel
    inner = {"layer": ("N",), "rms": ("N",), "group": ("N", "G"), "instance": ("N", "C")}[norm]
    return tuple(axis for axis, name in enumerate(names) if name not in inner)


def _of_statistics(quantities: Quantities) -> Iterator[Form]:
    """Mean and variance over other axes, both, and what the forward pass makes of them."""
    if "mu" not in quantities:
        return
    sizes, names = axes_of(quantities.inputs)
    shape = quantities.inputs.x.shape
    x, eps = quantities["x"].wide.reshape(sizes), quantities.inputs.options.eps
    right = right_axes(quantities, False)
    instead = over(tuple(names[axis] for axis in right), names)
    for axes, words in _axes_sets(quantities):
        var = np.broadcast_to(x.var(axes, keepdims=True), sizes).reshape(shape)
        xc = (x - x.mean(axes, keepdims=True)).reshape(shape)
        given = quantities.inputs.options.norm == "batch" and not quantities.inputs.options.training
        if axes == right and not given:
            std = np.sqrt(var)
            yield from _forms(quantities, Variant("sd", "sd", "eps", "without eps"), std)
            continue
        detail = f"statistics {words} instead of {instead}" if axes != right else "statistics of the batch"
        yield from _forms(quantities, Variant("xc", "xc", "reduction", detail), xc)
        yield from _forms(quantities, Variant("var", "var", "reduction", detail), var)
        yield from _downstream(quantities, np.sqrt(var + eps), xc, "reduction", detail)
        without = f"{detail}, without eps"
        yield from _forms(quantities, Variant("sd", "sd", "reduction", without), np.sqrt(var))


def _of_reductions(quantities: Quantities) -> Iterator[Form]:
    """Every reduction over other axes, by another operation, or with another operand under the sum."""
    sizes, names = axes_of(quantities.inputs)
    operands = {name: quantities[name].wide.reshape(sizes) for name in OPERANDS if name in quantities}
    for quantity, (how, belong) in TARGETS.items():
        if quantity not in quantities or any(name not in operands for name in belong):
            continue
        known = quantities[quantity]
        right = right_axes(quantities, known.extent == "channel")
        sign = -1 if how.startswith("-") else 1
        summand: Array = sign * np.prod([operands[name] for name in belong], axis=0)
        instead = f"{how} {over(tuple(names[axis] for axis in right), names)}"
        for axes, words in _axes_sets(quantities):
            for operation in ("sum", "mean", "max"):
                detail = f"{operation} {words} instead of {instead}"
                if axes == right:
                    detail = f"{operation} instead of {how}"
                if axes == right and operation == how.removeprefix("-"):
                    continue
                label = Variant(quantity, known.node, "reduction", detail)
                yield _reduced(label, summand, operation, axes, quantities)
        for replaced in belong:
            rest = [operands[name] for name in belong if name != replaced]
            for other in (name for name in operands if name != replaced):
                label = Variant(quantity, known.node, "operand", f"with {other} in place of {replaced}")
                summand = sign * np.prod([operands[other], *rest], axis=0)
                yield _reduced(label, summand, how.removeprefix("-"), right, quantities)


def _reduced(label: Variant, summand: Array, operation: str, axes: tuple[int, ...], quantities: Quantities) -> Form:
    """The form of a summand, with one axis for each of x, reduced over some of them."""
    sizes, names = axes_of(quantities.inputs)
    kept = tuple(axis for axis in range(len(sizes)) if axis not in axes)
    values = np.asarray(getattr(summand, operation)(axes))
    return form(label, values, tuple(sizes[axis] for axis in kept), tuple(names[axis] for axis in kept))
