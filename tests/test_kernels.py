"""The door to an implementation: what it copies, and what it notices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bnbench.cases import draw, draw_cotangent
from bnbench.kernels import local_kernel, same_bits
from bnbench.model import Case
from bnbench.mutants import ALL_MUTANTS, forward_of

CASE = Case(shape=(9, 5))
MUTANTS = {mutant.name: mutant for mutant in ALL_MUTANTS}


def kernel_of(name):
    return local_kernel(MUTANTS[name].make())


def recording(calls):
    """A correct forward that records every call of itself and of its vjps."""

    def forward(x, *others, **options):
        number = len([call for call in calls if call[0] == "forward"])
        calls.append(("forward", number, x.copy()))
        *outputs, vjp = forward_of()(x, *others, **options)

        def recorded(dy):
            calls.append(("vjp", number, dy.copy()))
            return vjp(dy)

        return *outputs, recorded

    return forward


def test_the_call_beside_comes_between_the_forward_and_its_vjps():
    calls = []
    inputs, dy, other = draw(CASE), draw_cotangent(CASE), draw(replace(CASE, seed=1))
    local_kernel(recording(calls))(inputs, dy, -dy, beside=other)

    assert [call[:2] for call in calls] == [("forward", 0), ("forward", 1), ("vjp", 0), ("vjp", 0)]
    for (_, _, got), given in zip(calls, (inputs.x, other.x, dy, -dy), strict=True):
        assert same_bits(got, given)


def test_a_call_beside_can_not_change_what_the_checks_hold():
    def greedy(x, *others, **options):
        answer = forward_of()(x.copy(), *others, **options)
        x[...] = 0
        return answer

    other = draw(replace(CASE, seed=1))
    before = other.x.copy()
    local_kernel(greedy)(draw(CASE), beside=other)

    assert same_bits(other.x, before)


@pytest.mark.parametrize(
    ("name", "overwritten"),
    [
        ("one_buffer_for_every_y", ("y",)),
        ("running_mean_moves_in_the_vjp", ("running_mean",)),
        ("running_statistics_in_place", ()),
        ("one_cache_for_all_calls", ()),
    ],
)
def test_outputs_that_change_after_they_were_returned_are_named(name, overwritten):
    inputs, dy = draw(CASE), draw_cotangent(CASE)
    outputs = kernel_of(name)(inputs, dy, -dy, beside=draw(replace(CASE, seed=1)))

    assert outputs.overwritten == overwritten


def test_an_overwritten_output_is_reported_as_it_was_returned():
    inputs, other = draw(CASE), draw(replace(CASE, seed=1))
    alone, disturbed = (kernel_of("one_buffer_for_every_y")(inputs, beside=beside) for beside in (None, other))

    assert same_bits(disturbed.y, alone.y)


def test_the_correct_recipe_overwrites_nothing():
    inputs, dy = draw(CASE), draw_cotangent(CASE)
    outputs = local_kernel(forward_of())(inputs, dy, -dy, beside=inputs)

    assert outputs.overwritten == outputs.mutated == ()


def test_an_output_that_is_not_exactly_an_array_is_refused():
    class Liar(np.ndarray):
        pass

    def lying(*arrays, **options):
        y, *others = forward_of()(*arrays, **options)
        return y.view(Liar), *others

    with pytest.raises(TypeError, match="y came back as a Liar"):
        local_kernel(lying)(draw(CASE))
