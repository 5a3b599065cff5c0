"""Are the outputs exact where an exact answer exists?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bnbench.checks._check import BATCH, check
from bnbench.checks.forward import outputs_have_the_types_of_the_inputs
from bnbench.compare import compare
from bnbench.exactness import REASON, mismatches
from bnbench.fixtures import Fixture, fixtures, named
from bnbench.model import Array, Case, Comparison, Gradients, Subject
from bnbench.tolerances import ROUNDED


def _suitable(case: Case) -> tuple[Fixture, ...]:
    """The fixtures of the case's dtype, norm, mode and number of dimensions, whatever its shape."""
    same_rank = fixtures(case.norm, case.dtype, training=case.training, rank=len(case.shape))
    return same_rank or fixtures(case.norm, case.dtype, training=case.training)


def _exact(subject: Subject, case: Case, *names: str) -> Iterator[Comparison]:
    backward = not set(names).isdisjoint(Gradients._fields)
    for fixture in _suitable(case):
        got = named(subject.kernel(fixture.inputs, *([fixture.dy] if backward else [])))
        for name, expected in fixture.outputs(subject.capabilities.running_var_ddof).items():
            if name in names:
                yield _compared(f"{name} of {fixture.name}", got[name], expected, fixture.units[name])


def _compared(quantity: str, got: Array, expected: Array, unit: Array) -> Comparison:
    """The largest error in rounding units, 0 where every element is exact, and the numbers in hexadecimal."""
    comparison = compare(quantity, got, expected, unit, ROUNDED, note="exact")
    different = mismatches(got, expected)
    if not different or comparison.index is None:
        return comparison
    share = f"{different} of {expected.size} elements differ"
    if comparison.error <= ROUNDED.limit:
        return replace(comparison, note=f"{share}, at most {comparison.error:.2g} ulps of the terms: {REASON}")
    at = comparison.index
    return replace(comparison, note=f"{share}: got {float(got[at]).hex()}, expected {float(expected[at]).hex()}")


@check(
    "BN151",
    mutant="fast_inverse_square_root",
    after=(outputs_have_the_types_of_the_inputs,),
    usual_cause="an approximate root, a variance from sums of squares, or a tail of a loop left out of the sums",
)
def output_is_exact(subject: Subject, case: Case) -> Iterator[Comparison]:
    """y is exact to the last bit where gamma (x - mu) / sqrt(v + eps) + beta is a number of the dtype.

    The deviations x - mu are whole numbers of a power of two, chosen so that v + eps is a power of four and
    gamma is a power of two: nothing rounds, in whatever order sums are taken. M is 8, 9, 17, 32, 65
    and 257; one block has v = 0, some fixtures have a mean of up to 2^30, and one has an eps that
    vanishes beside v. The case gives dtype, norm, mode and number of dimensions alone. A few
    roundings are granted, because a factor 1 / M or an online variance are not wrong.
    """
    yield from _exact(subject, case, "y")


@check(
    "BN251",
    mutant="running_var_counts_the_rows",
    training=True,
    norms=BATCH,
    after=(outputs_have_the_types_of_the_inputs,),
    usual_cause="momentum on the wrong side, the other ddof, N in place of M, or eps or the root kept",
)
def running_statistics_are_exact(subject: Subject, case: Case) -> Iterator[Comparison]:
    """A train step on exact data leaves running statistics that are exact to the last bit.

    running_mean is 3/4 of the old plus 1/4 of mu, running_var likewise of v M / (M - ddof), for
    momentum 1/4. With M = 2^k + 1 the factor M / (M - 1) is exact, so that both ddof are told
    apart at any size; other M are compared for ddof 0 alone.
    """
    yield from _exact(subject, case, "running_mean", "running_var")


@check(
    "BN351",
    mutant="tail_rows_left_out_of_the_means_of_dx",
    after=(outputs_have_the_types_of_the_inputs,),
    needs_vjp=True,
    usual_cause="a path of the graph, a count or a tail; where y is another convention's, dx differs with it",
)
def dx_is_exact(subject: Subject, case: Case) -> Iterator[Comparison]:
    """dx is exact to the last bit where (g - mean(g) - x_hat mean(g x_hat)) / s is a number of the dtype.

    g = gamma dy consists of small whole numbers, with whole means of g and of g (x - mu) / 2^q that are not
    zero, so that a path that is missing shows. RMS norm has no mean(g); eval mode of batch norm
    has dx = g / s. The data is that of BN151.
    """
    yield from _exact(subject, case, "dx")


@check(
    "BN352",
    mutant="eps_missing_in_dgamma",
    after=(outputs_have_the_types_of_the_inputs,),
    needs_vjp=True,
    usual_cause="a mean in place of the sum, an x_hat with another eps, or the tail of a loop left out",
)
def dgamma_and_dbeta_are_exact(subject: Subject, case: Case) -> Iterator[Comparison]:
    """dgamma = sum(dy x_hat) and dbeta = sum(dy) are exact to the last bit on exact data.

    Sums of few-digit numbers are exact in any order. The data is that of BN151.
    """
    yield from _exact(subject, case, "dgamma", "dbeta")
