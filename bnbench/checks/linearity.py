"""How the backward answers when its arguments change: it is linear in dy and gamma, blind to beta and to units."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from bnbench.blocks import from_blocks, per_channel
from bnbench.cases import draw, draw_cotangent
from bnbench.checks._backward import backward_of, cotangents
from bnbench.checks._check import ALL_NORMS, check
from bnbench.checks.forward import outputs_have_the_types_of_the_inputs
from bnbench.checks.purity import the_vjp_may_be_called_again
from bnbench.compare import compare
from bnbench.model import Array, Case, Comparison, Inputs, Subject
from bnbench.rounding import Standardized, output_units, standardized
from bnbench.tolerances import EXACT, IDENTITY


@check(
    "BN322",
    mutant="dy_clipped",
    after=(outputs_have_the_types_of_the_inputs, the_vjp_may_be_called_again),
    needs_vjp=True,
    usual_cause="dy is clipped, normalized or overwritten, or gradients are left over from an earlier call",
)
def the_backward_is_linear_in_dy(subject: Subject, case: Case) -> Iterator[Comparison]:
    """The gradients of 2 dy1 - 3 dy2 are 2 times those of dy1 minus 3 times those of dy2."""
    inputs = draw(case)
    first, second = cotangents(case)
    combined: Array = (2 * first - 3 * second).astype(case.dtype)
    one, two, got = subject.kernel(inputs, first, second, combined).gradients
    units = [output_units(inputs, dy) for dy in (first, second, combined)]
    for quantity in ("dx", "dgamma", "dbeta"):
        a, b = (getattr(gradients, quantity).astype(np.float64) for gradients in (one, two))
        unit = 2 * units[0][quantity] + 3 * units[1][quantity] + units[2][quantity]
        with np.errstate(invalid="ignore", over="ignore"):
            expected = 2 * a - 3 * b
        yield compare(f"{quantity} of 2 dy1 - 3 dy2", getattr(got, quantity), expected, unit, IDENTITY)


@check(
    "BN323",
    mutant="dx_with_y_in_place_of_x_hat",
    after=(outputs_have_the_types_of_the_inputs,),
    needs_vjp=True,
    usual_cause="gamma is left out of dx, or y stands where x_hat belongs, so that gamma and beta enter twice",
)
def dx_depends_on_gamma_dy_and_never_on_beta(subject: Subject, case: Case) -> Iterator[Comparison]:
    """dx is the same when a channel's gamma is multiplied and its dy divided by the same factor, or beta moves.

    gamma enters dx through g = gamma dy alone, beta not at all. The factors are -2, 1/2 and 4, which
    round nothing away.
    """
    inputs, dy = draw(case), draw_cotangent(case)
    factors = np.resize(np.array([-2.0, 0.5, 4.0], dtype=case.dtype), case.channels)
    moved = {
        "dx with gamma times, dy over a factor": (
            replace(inputs, gamma=inputs.gamma * factors),
            dy / per_channel(factors, dy.ndim),
        ),
        "dx with another beta": (replace(inputs, beta=(3 - inputs.beta).astype(case.dtype)), dy),
    }
    expected = subject.kernel(inputs, dy).gradients[0].dx
    unit = output_units(inputs, dy)["dx"]
    for quantity, (changed, cotangent) in moved.items():
        got = subject.kernel(changed, cotangent).gradients[0].dx
        yield compare(quantity, got, expected, unit, IDENTITY)


@check(
    "BN324",
    mutant="dvar_with_another_exponent",
    training=True,
    after=(outputs_have_the_types_of_the_inputs,),
    usual_cause="a wrong power of the variance, invisible where s = 1; or x where x - mu belongs",
)
def dx_knows_the_unit_of_x(subject: Subject, case: Case) -> Iterator[Comparison]:
    """With 2 x and 4 eps, dx is halved; with x plus a constant, it stays. dgamma stays in both.

    Doubling is exact in binary arithmetic, and the constant is chosen so that adding it is exact, too.
    """
    inputs, dy = draw(case), draw_cotangent(case)
    doubled = replace(inputs, x=2 * inputs.x, options=replace(inputs.options, eps=4 * case.eps))
    yield from _moved(subject, (inputs, doubled), dy, factor=0.5, what="2 x and 4 eps")
    if case.norm != "rms":
        yield from _moved(subject, _shifted(inputs), dy, factor=1.0, what="x plus a constant")


def _moved(
    subject: Subject, pair: tuple[Inputs, Inputs], dy: Array, *, factor: float, what: str
) -> Iterator[Comparison]:
    here, there = (subject.kernel(inputs, dy).gradients[0] for inputs in pair)
    units = [output_units(inputs, dy) for inputs in pair]
    for quantity, scale in (("dx", factor), ("dgamma", 1.0)):
        unit = scale * units[0][quantity] + units[1][quantity]
        expected = scale * getattr(here, quantity).astype(np.float64)
        yield compare(f"{quantity} with {what}", getattr(there, quantity), expected, unit, IDENTITY)


def _shifted(inputs: Inputs) -> tuple[Inputs, Inputs]:
    """x rounded to few bits, and the same plus a constant of each block: what is added is exact."""
    shape, norm = inputs.x.shape, inputs.options.norm
    at = standardized(inputs)
    # Multiples of a 32nd of the largest deviation, or of 8 times the spacing of the largest |x| if that is more:
    # a constant of 64 such grains then needs no more bits than the dtype has.
    spacing = np.finfo(inputs.x.dtype).eps
    coarse = np.maximum(np.abs(at.x_hat).max(1, keepdims=True) * at.sd / 32, 8 * spacing * at.sd * at.kappa)
    grain = 2.0 ** np.ceil(np.log2(np.maximum(coarse, np.finfo(inputs.x.dtype).tiny)))
    constant = 64 * grain
    wide_grain, wide_constant = (
        from_blocks(np.broadcast_to(a, at.x_hat.shape), shape, norm) for a in (grain, constant)
    )
    x = np.round(inputs.x / wide_grain) * wide_grain
    here, there = (np.ascontiguousarray(a).astype(inputs.x.dtype) for a in (x, x + wide_constant))
    return replace(inputs, x=here), replace(inputs, x=there)


@check(
    "BN325",
    mutant="dx_leaks_between_blocks",
    norms=ALL_NORMS,
    after=(outputs_have_the_types_of_the_inputs,),
    needs_vjp=True,
    usual_cause="a sum over the wrong axis, a broadcast along the wrong axis, or a buffer that was not cleared",
)
def dx_is_zero_where_the_block_has_no_dy(subject: Subject, case: Case) -> Iterator[Comparison]:
    """dx is exactly zero in a block whose dy is zero, and only there: blocks do not see each other.

    Every second block is given no dy. In eval mode of batch norm a block is a channel as well.
    """
    backward = backward_of(subject, draw(case))
    g = backward.scaled(draw_cotangent(case))
    g[1::2] = 0
    (answer,) = backward(g)
    yield _zeros("dx of blocks without dy", answer.dx[1::2])
    # Two elements far above eps have no dx beyond rounding, whatever their dy.
    loud = _exact(backward.at, answer.g, case) > IDENTITY.limit * backward.unit(answer.g)
    silent = float((loud.any(1) & ~answer.dx.any(1)).sum())
    yield Comparison(
        quantity="blocks with dy and without dx",
        error=silent,
        limit=EXACT.limit,
        unit="blocks",
        got=silent,
        expected=0.0,
    )


def _exact(at: Standardized, g: Array, case: Case) -> Array:
    """|B(g)|, in float64."""
    through = g
    if not at.constants:
        through = through - at.x_hat * (g * at.x_hat).mean(1, keepdims=True)
        if case.norm != "rms":
            through = through - g.mean(1, keepdims=True)
    return np.asarray(np.abs(through) / at.sd)


@check(
    "BN326",
    mutant="dy_normalized_by_its_norm",
    after=(outputs_have_the_types_of_the_inputs,),
    needs_vjp=True,
    usual_cause="0 / 0 in the backward, a buffer that was not cleared, or eps left out where the variance is zero",
)
def no_dy_gives_no_gradients(subject: Subject, case: Case) -> Iterator[Comparison]:
    """dy = 0 gives exactly zero gradients, also for a constant x, whose variance is zero.

    Zero times anything finite is zero; a NaN here was a division by zero or by a root without eps.
    """
    inputs = draw(case)
    constant = replace(inputs, x=np.full_like(inputs.x, case.mean + 1))
    dy = np.zeros_like(inputs.x)
    for what, at in (("", inputs), (" at a constant x", constant)):
        for quantity, a in subject.kernel(at, dy).gradients[0]._asdict().items():
            yield _zeros(f"{quantity}{what}", a)


def _zeros(quantity: str, a: Array) -> Comparison:
    """How many elements are not zero. Zero was asked for, so that zero is no trivial answer."""
    beyond = ~(a == 0)
    index = tuple(int(i) for i in np.unravel_index(np.argmax(beyond), a.shape)) if a.size else None
    return Comparison(
        quantity=quantity,
        error=float(beyond.sum()),
        limit=EXACT.limit,
        unit="elements other than 0",
        got=float(a[index]) if index is not None else "no elements",
        expected=0.0,
        index=index if a.size else None,
    )
