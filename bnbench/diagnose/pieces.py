"""What other correct styles compute on the way: pieces of the closed form, of the running averages, and numbers."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from bnbench.diagnose.cause import Quantity
from bnbench.diagnose.quantities import Draft, Extent
from bnbench.model import Array
from bnbench.reference import statistics

Piece: TypeAlias = tuple[str, Array, Extent, int, Quantity]
"""Name (which is the definition), values shaped as x, extent, unit, and the node it is a piece of."""

LITERALS = {"0": 0.0, "1": 1.0, "-1": -1.0, "2": 2.0, "-2": -2.0, "3": 3.0, "1/2": 0.5, "-1/2": -0.5, "-3/2": -1.5}
"""Numbers that stand in a formula as they are."""


def add_pieces(draft: Draft) -> None:
    """Add the pieces of other correct styles to the draft."""
    pieces = _of_statistics(draft)
    if draft.given_statistics:
        pieces += _of_inference(draft)
    else:
        pieces += _of_variance(draft) + _of_closed_form(draft, "dy") + _of_closed_form(draft, "dx_hat")
    if draft.norm == "batch":
        _add_running(draft)
    for name, wide, extent, unit, node in pieces:
        draft.add(name, wide, name, extent, unit, node, "piece")
    for name, summand in _sums(draft).items():
        draft.known[name] = replace(draft.known[name], terms=summand)


def _of_statistics(draft: Draft) -> list[Piece]:
    """Pieces of the forward pass that exist in every mode."""
    block, gamma_block = draft.per_block, draft.of_gamma
    x, var, sd, inverse_sd, gamma = (draft[name] for name in ("x", "var", "sd", "inverse_sd", "gamma"))
    eps = draft.inputs.options.eps
    pieces: list[Piece] = [
        ("sum(x)", draft.block_sum(x), block, 1, "mu"),
        ("x^2", x * x, "element", 2, "var"),
        ("sum(x^2)", draft.block_sum(x * x), block, 2, "var"),
        ("mean(x^2)", draft.block_mean(x * x), block, 2, "var"),
        ("var + eps", var + eps, block, 2, "sd"),
        ("gamma inverse_sd", gamma * inverse_sd, gamma_block, -1, "scaled"),
        ("gamma dy", gamma * draft.dy, "element", 0, "dx_hat"),
        ("dy x_hat", draft.dy * draft["x_hat"], "element", 0, "dgamma"),
        ("gamma dy inverse_sd", gamma * draft.dy * inverse_sd, "element", -1, "dx"),
    ]
    if draft.norm != "rms":
        mu = draft["mu"]
        folded = draft["beta"] - mu * gamma * inverse_sd
        pieces += [
            ("mu^2", mu**2, block, 2, "var"),
            ("gamma xc", gamma * draft["xc"], "element", 1, "scaled"),
            ("mu inverse_sd", mu * inverse_sd, block, 0, "x_hat"),
            ("x inverse_sd", x * inverse_sd, "element", 0, "x_hat"),
            ("beta - mu gamma inverse_sd", folded, gamma_block, 0, "y"),
            ("gamma x inverse_sd", gamma * x * inverse_sd, "element", 0, "y"),
        ]
    pieces += [
        ("1/2 inverse_sd", 0.5 * inverse_sd, block, -1, "dvar"),
        ("2 sd", 2 * sd, block, 1, "dvar"),
        ("inverse_sd^2", inverse_sd**2, block, -2, "dsd"),
        ("-inverse_sd^2", -(inverse_sd**2), block, -2, "dsd"),
        ("(var + eps)^(-3/2)", inverse_sd**3, block, -3, "dvar"),
        ("-1/2 (var + eps)^(-3/2)", -0.5 * inverse_sd**3, block, -3, "dvar"),
        ("-inverse_sd", -inverse_sd, block, -1, "dmu"),
        ("-gamma inverse_sd", -gamma * inverse_sd, gamma_block, -1, "dmu"),
    ]
    return pieces


def _of_inference(draft: Draft) -> list[Piece]:
    """In eval mode: what the batch itself would have given, which only a mistaken mode asks for."""
    mean, variance = (draft.spread_blocks(a) for a in statistics(draft.blocks(draft.x)))
    sd = np.sqrt(variance + draft.inputs.options.eps)
    return [
        ("mean(x) of the batch", mean, "channel", 1, "mu"),
        ("x - mean(x) of the batch", draft.x - mean, "element", 1, "xc"),
        ("var of the batch", variance, "channel", 2, "var"),
        ("sd of the batch", sd, "channel", 1, "sd"),
        ("inverse_sd of the batch", 1 / sd, "channel", -1, "inverse_sd"),
        ("x_hat of the batch", (draft.x - mean) / sd, "element", 0, "x_hat"),
        ("scaled of the batch", draft["gamma"] * (draft.x - mean) / sd, "element", 0, "scaled"),
    ]


def _of_variance(draft: Draft) -> list[Piece]:
    """Pieces of the path through the variance, in the letters of the staged graph."""
    block, gamma_block, elements = draft.per_block, draft.of_gamma, draft.block_elements
    rms = draft.norm == "rms"
    c = "x" if rms else "xc"
    xc, inverse_sd, dx_hat, dvar = draft[c], draft["inverse_sd"], draft["dx_hat"], draft["dvar"]
    products = dx_hat * xc
    total = draft.block_sum(products)
    pieces: list[Piece] = [
        ("sum(sq)", draft.block_sum(draft["sq"]), block, 2, "var"),
        ("sq / M", draft["sq"] / elements, "element", 2, "var"),
        ("inverse_sd / M", inverse_sd / elements, block, -1, "dx"),
        ("gamma inverse_sd / M", draft["gamma"] * inverse_sd / elements, gamma_block, -1, "dx"),
        (f"dx_hat {c}", products, "element", 1, "dinverse_sd"),
        (f"dy {c}", draft.dy * xc, "element", 1, "dgamma"),
        (f"sum(dy {c})", draft.sum_channel(draft.dy * xc), "channel", 1, "dgamma"),
        (f"mean(dx_hat {c})", total / elements, block, 1, "dinverse_sd"),
        (f"{c} inverse_sd^2", xc * inverse_sd**2, "element", -1, "dvar"),
        (f"{c} inverse_sd^3", xc * inverse_sd**3, "element", -2, "dvar"),
        (f"-1/2 {c} inverse_sd^3", -0.5 * xc * inverse_sd**3, "element", -2, "dvar"),
        (f"dx_hat {c} inverse_sd^3", products * inverse_sd**3, "element", -2, "dvar"),
        (f"-1/2 dx_hat {c}", -0.5 * products, "element", 1, "dvar"),
        (f"-dx_hat {c}", -products, "element", 1, "dsd"),
        (f"-dx_hat {c} inverse_sd^2", -products * inverse_sd**2, "element", -1, "dsd"),
        (f"dx_hat {c} inverse_sd^2", products * inverse_sd**2, "element", -1, "dsd"),
        (f"-1/2 dx_hat {c} inverse_sd^3", -0.5 * products * inverse_sd**3, "element", -2, "dvar"),
        (f"-1/2 sum(dx_hat {c})", -0.5 * total, block, 1, "dvar"),
        (f"sum(dx_hat {c}) inverse_sd^2", total * inverse_sd**2, block, -1, "dsd"),
        (f"sum(dx_hat {c}) inverse_sd^3", total * inverse_sd**3, block, -2, "dvar"),
        (f"{c} sum(dx_hat {c})", xc * total, "element", 2, "dx"),
        (f"{c} mean(dx_hat {c})", xc * total / elements, "element", 2, "dx"),
        (f"{c} sum(dx_hat {c}) inverse_sd^2", xc * total * inverse_sd**2, "element", 0, "dx"),
        (f"{c} mean(dx_hat {c}) inverse_sd^2", xc * total * inverse_sd**2 / elements, "element", 0, "dx"),
        (f"2 {c}", 2 * xc, "element", 1, "dxc"),
        (f"2 {c} / M", 2 * xc / elements, "element", 1, "dxc"),
        (f"{c} / M", xc / elements, "element", 1, "dxc"),
        (f"{c} dvar", xc * dvar, "element", -1, "dxc"),
        (f"2 {c} dvar", 2 * xc * dvar, "element", -1, "dxc"),
        (f"{c} dvar / M", xc * dvar / elements, "element", -1, "dxc"),
        ("2 dvar", 2 * dvar, block, -2, "dxc"),
        ("2 dvar / M", 2 * dvar / elements, block, -2, "dxc"),
    ]
    if rms:
        return pieces
    nothing = np.zeros(draft.shape)
    dmu = draft["dmu"]
    return [
        *pieces,
        ("mean(xc)", nothing, block, 1, "dmu"),
        ("-2 xc", -2 * xc, "element", 1, "dmu"),
        ("-2 xc / M", -2 * xc / elements, "element", 1, "dmu"),
        ("-2 xc dvar", -2 * xc * dvar, "element", -1, "dmu"),
        ("-dx_hat", -dx_hat, "element", 0, "dmu"),
        ("-dx_hat inverse_sd", -dx_hat * inverse_sd, "element", -1, "dmu"),
        ("-dxc", -draft["dxc"], "element", -1, "dmu"),
        ("sum(dxc)", -dmu, block, -1, "dmu"),
        ("mean(dxc)", -dmu / elements, block, -1, "dmu"),
    ]


def _of_closed_form(draft: Draft, g: str) -> list[Piece]:
    """The closed form in dy (where a sum over a block is one over a channel: batch norm only) or in dx_hat."""
    if g == "dy" and draft.norm != "batch":
        return []
    block, elements, gradient, x_hat = draft.per_block, draft.block_elements, draft[g], draft["x_hat"]
    inverse_sd = draft["inverse_sd"]
    total, projection = draft.block_sum(gradient), draft.block_sum(gradient * x_hat)
    mean = 0 * total if draft.norm == "rms" else total / elements
    no_mean = f"{g} - x_hat mean({g} x_hat)"
    pieces: list[Piece] = [
        (f"{g} inverse_sd", gradient * inverse_sd, "element", -1, "dx"),
        (f"M {g}", elements * gradient, "element", 0, "dx"),
        (f"sum({g} x_hat)", projection, block, 0, "dgamma" if g == "dy" else "dvar"),
        (f"mean({g} x_hat)", projection / elements, block, 0, "dx"),
        (f"x_hat sum({g} x_hat)", x_hat * projection, "element", 0, "dx"),
        (f"x_hat mean({g} x_hat)", x_hat * projection / elements, "element", 0, "dx"),
        (no_mean, gradient - x_hat * projection / elements, "element", 0, "dx"),
        (f"M {g} - x_hat sum({g} x_hat)", elements * gradient - x_hat * projection, "element", 0, "dx"),
    ]
    if g == "dx_hat":
        pieces += [("dx_hat x_hat", gradient * x_hat, "element", 0, "dvar")]
    if draft.norm == "rms":
        return pieces
    rest = gradient - mean - x_hat * projection / elements
    return [
        *pieces,
        (f"sum({g})", total, block, 0, "dbeta" if g == "dy" else "dmu"),
        (f"mean({g})", mean, block, 0, "dx"),
        (f"-sum({g})", -total, block, 0, "dmu"),
        (f"sum({g}) inverse_sd", total * inverse_sd, block, -1, "dmu"),
        (f"{g} / M", gradient / elements, "element", 0, "dx"),
        (f"{g} - mean({g})", gradient - mean, "element", 0, "dx"),
        (f"M {g} - sum({g})", elements * (gradient - mean), "element", 0, "dx"),
        (f"{g} - mean({g}) - x_hat mean({g} x_hat)", rest, "element", 0, "dx"),
        (f"M {g} - sum({g}) - x_hat sum({g} x_hat)", elements * rest, "element", 0, "dx"),
        (f"(M {g} - sum({g}) - x_hat sum({g} x_hat)) inverse_sd", elements * rest * inverse_sd, "element", -1, "dx"),
        (f"({g} - mean({g}) - x_hat mean({g} x_hat)) inverse_sd", rest * inverse_sd, "element", -1, "dx"),
        (f"mean({g}) + x_hat mean({g} x_hat)", gradient - rest, "element", 0, "dx"),
        (f"sum({g}) + x_hat sum({g} x_hat)", elements * (gradient - rest), "element", 0, "dx"),
    ]


def _sums(draft: Draft) -> dict[str, Array]:
    """Sums among the pieces, each with its summand, so that an unfinished sum can be recognized."""
    if draft.given_statistics:
        return {}
    c = "x" if draft.norm == "rms" else "xc"
    x, dx_hat = draft["x"], draft["dx_hat"]
    elements, product = draft.block_elements, dx_hat * draft["x_hat"]
    sums = {
        "sum(x)": x,
        "sum(x^2)": x * x,
        "sum(sq)": draft["sq"],
        "sum(dx_hat x_hat)": product,
        "mean(dx_hat x_hat)": product / elements,
        f"mean(dx_hat {c})": dx_hat * draft[c] / elements,
        f"sum(dy {c})": draft.dy * draft[c],
    }
    if draft.norm != "rms":
        sums |= {"sum(dx_hat)": dx_hat, "mean(dx_hat)": dx_hat / elements, "sum(dxc)": draft["dxc"]}
    return sums


def _add_running(draft: Draft) -> None:
    """The running averages of batch norm before and after the step, and their weighted halves."""
    inputs, options = draft.inputs, draft.inputs.options
    new, old = options.momentum, 1 - options.momentum
    elements = draft.block_elements
    mu, var = draft["mu"], draft["var"]
    if options.training and elements > 1:
        corrected = var * elements / (elements - 1)
        draft.add("var of divisor M-1", corrected, "sum(sq) / (M - 1)", "channel", 2, "var", "piece")
    before: tuple[tuple[Quantity, Array, Array, int], ...] = (
        ("running_mean", inputs.running_mean, mu, 1),
        ("running_var", inputs.running_var, var, 2),
    )
    for node, kept, now, unit in before:
        source = "mu" if node == "running_mean" else "var"
        wide = draft.spread_channels(kept)
        old_name = f"{node} (before)"
        draft.add(old_name, wide, f"{node} as it was given", "channel", unit, node)
        if not options.training:
            draft.add(node, wide, f"{node} as it was given", "channel", unit, node)
            continue
        after = old * wide + new * now
        draft.add(f"{node} (after)", after, f"(1-momentum) {node} + momentum {source}", "channel", unit, node)
        for weight, factor in (("momentum", new), ("(1-momentum)", old)):
            for name, value in ((source, now), (old_name, wide)):
                piece = f"{weight} {name}"
                draft.add(piece, factor * value, piece, "channel", unit, node, "piece")
        draft.add(f"{source} - {old_name}", now - wide, f"{source} - {node}", "channel", unit, node, "piece")
        if node == "running_var" and elements > 1:
            other = old * wide + new * now * elements / (elements - 1)
            draft.add(f"{node} (after, divisor M-1)", other, f"{node} of divisor M-1", "channel", unit, node, "piece")
    running_sd = np.sqrt(draft["running_var (before)"] + options.eps)
    if options.training:
        x_hat = (draft.x - draft["running_mean (before)"]) / running_sd
        draft.add("sd of running_var", running_sd, "sqrt(running_var + eps)", "channel", 1, "sd", "piece")
        draft.add("x_hat of the running averages", x_hat, "(x - running_mean) / sd", "element", 0, "x_hat", "piece")


def add_constants(draft: Draft) -> None:
    """Add the numbers a formula may contain: sizes, counts, options and literals."""
    options = draft.inputs.options
    rows, channels, *spatial = draft.shape
    elements = draft.block_elements
    numbers: dict[str, float] = {"N": rows, "C": channels, "M": elements, "N-1": rows - 1, "M-1": elements - 1}
    numbers |= {"N C": rows * channels, "1/N": 1 / rows, "1/M": 1 / elements, "1/C": 1 / channels}
    if elements > 1:
        numbers["1/(M-1)"] = 1 / (elements - 1)
    letters = {0: (), 1: ("L",), 2: ("H", "W"), 3: ("D", "H", "W")}[len(spatial)]
    numbers |= dict(zip(letters, spatial, strict=True))
    if len(spatial) > 1:
        numbers[" ".join(letters)] = math.prod(spatial)
    if spatial:
        numbers[" ".join(("N", "C", *letters))] = math.prod(draft.shape)
    if draft.norm == "group":
        numbers |= {"G": options.groups, "C/G": channels // options.groups}
    numbers |= {"momentum": options.momentum, "1-momentum": 1 - options.momentum}
    for name, value in numbers.items():
        draft.add(name, np.array(float(value)), name, "number", 0, None, "constant")
    draft.add("eps", np.array(options.eps), "the option eps", "number", 2, "eps", "constant")
    for name, value in LITERALS.items():
        draft.add(name, np.array(value), "a number", "number", 0, None, "constant")
