"""Is the implementation a function of its arguments, and of nothing else?"""

from __future__ import annotations

from collections.abc import Iterator

from bnbench.cases import draw, draw_cotangent, draw_cotangents, sized
from bnbench.checks._check import check
from bnbench.checks.forward import outputs_have_the_types_of_the_inputs
from bnbench.compare import agrees, compare, compare_bits, differs
from bnbench.fixtures import named
from bnbench.model import Case, Comparison, Subject
from bnbench.rounding import output_units
from bnbench.tolerances import IDENTITY


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
    mutated = subject.kernel(draw(case), *draw_cotangents(case, subject.capabilities)).mutated
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
    inputs, dys = draw(case), draw_cotangents(case, subject.capabilities)
    first, second = (named(subject.kernel(inputs, *dys)) for _ in range(2))
    for quantity, a in first.items():
        yield compare_bits(quantity, second[quantity], a)


@check(
    "BN503",
    mutant="gradients_accumulate",
    after=(outputs_have_the_types_of_the_inputs,),
    needs_vjp=True,
    usual_cause="gradients are added to a buffer, or the cache is changed or emptied by its first use",
)
def the_vjp_may_be_called_again(subject: Subject, case: Case) -> Iterator[Comparison]:
    """The vjp of one forward call gives the same bits each time it is asked."""
    dy = draw_cotangent(case)
    first, second = subject.kernel(draw(case), dy, dy).gradients
    for quantity, a, b in zip(("dx", "dgamma", "dbeta"), second, first, strict=True):
        yield compare_bits(f"{quantity} of the second vjp", a, b)


@check(
    "BN504",
    mutant="two_threads_race_for_the_last_row",
    after=(outputs_have_the_types_of_the_inputs,),
    needs_threads=True,
    needs_vjp=True,
    usual_cause="two threads write the same element, or each divides by its own share of the elements",
)
def the_number_of_threads_does_not_matter(subject: Subject, case: Case) -> Iterator[Comparison]:
    """With two threads instead of one, every output is the same up to the order of its sums.

    On 40,960 elements, where libraries begin to share the work. Sums that are split round differently, so
    that not the bits but the rounding units of each output are compared.
    """
    wide = sized(case, blocks=64, elements=640)
    inputs, dy = draw(wide), draw_cotangent(wide)
    units = output_units(inputs, dy)
    if subject.on_threads is not None:
        one, two = (named(subject.on_threads(count)(inputs, dy)) for count in (1, 2))
        for quantity, unit in units.items():
            yield compare(f"{quantity} with two threads", two[quantity], one[quantity], unit, IDENTITY)
