"""Is the implementation a function of its arguments, and of nothing else?"""

from __future__ import annotations

from collections.abc import Iterator

from bnbench.cases import draw, draw_cotangent
from bnbench.checks._check import check
from bnbench.checks.forward import outputs_have_the_types_of_the_inputs
from bnbench.compare import agrees, compare_bits, differs
from bnbench.model import Case, Comparison, Subject


@check(
    "BN501",
    mutant="dy_scaled_in_place",
    usual_cause="an in-place operator (-=, *=, out=) on an argument, or running statistics updated in place",
)
def arguments_are_left_as_they_were(subject: Subject, case: Case) -> Iterator[Comparison]:
    """Neither the forward nor the vjp changes an array that it was given.

    x, gamma, beta, the running statistics and dy are compared bit by bit before and after. State is an
    argument: the new running statistics are returned, never written into the old ones.
    """
    mutated = subject.kernel(draw(case), draw_cotangent(case)).mutated
    if mutated:
        yield differs("arguments", got=f"{', '.join(mutated)} changed in place", expected="all unchanged")
    else:
        yield agrees("arguments", "all unchanged")


@check(
    "BN502",
    mutant="a_different_last_bit_each_time",
    after=(outputs_have_the_types_of_the_inputs,),
    usual_cause="uninitialized memory, a race between threads, or state kept between calls",
)
def the_same_call_gives_the_same_bits(subject: Subject, case: Case) -> Iterator[Comparison]:
    """Two calls with the same arguments give the same bits in every output."""
    inputs, dy = draw(case), draw_cotangent(case)
    first, second = subject.kernel(inputs, dy), subject.kernel(inputs, dy)
    yield compare_bits("y", second.y, first.y)
    yield compare_bits("running_mean", second.running_mean, first.running_mean)
    yield compare_bits("running_var", second.running_var, first.running_var)
    for quantity, a, b in zip(("dx", "dgamma", "dbeta"), second.gradients[0], first.gradients[0], strict=True):
        yield compare_bits(quantity, a, b)


@check(
    "BN503",
    mutant="gradients_accumulate",
    after=(outputs_have_the_types_of_the_inputs,),
    usual_cause="gradients are added to a buffer, or the cache is changed or emptied by its first use",
)
def the_vjp_may_be_called_again(subject: Subject, case: Case) -> Iterator[Comparison]:
    """The vjp of one forward call gives the same bits each time it is asked."""
    dy = draw_cotangent(case)
    first, second = subject.kernel(draw(case), dy, dy).gradients
    for quantity, a, b in zip(("dx", "dgamma", "dbeta"), second, first, strict=True):
        yield compare_bits(f"{quantity} of the second vjp", a, b)
