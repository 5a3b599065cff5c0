"""The door to an implementation: what it copies, and what it notices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bnbench.cases import draw, draw_cotangent
from bnbench.kernels import LARGE, local_kernel, outputs_at, same_bits
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


@pytest.mark.parametrize("elements", [6, LARGE], ids=["compared as bytes", "compared as integers"])
def test_the_same_bits_are_those_of_nan_too_and_zero_has_two_signs(elements):
    a = np.full(elements, np.nan)
    b = a.copy()
    assert same_bits(a, b)

    a[-1], b[-1] = 0.0, -0.0
    assert not same_bits(a, b)
    assert not same_bits(a, a.astype(np.float32))
    assert same_bits(a[::2], a[::2].copy())


def test_many_points_give_what_one_after_the_other_gives():
    kernel = local_kernel(forward_of())
    dy = draw_cotangent(CASE)
    points = [(draw(replace(CASE, seed=seed)), (dy,) * (seed % 3)) for seed in range(4)]
    together = list(outputs_at(kernel, ((replace(i, x=i.x.copy()), dys) for i, dys in points)))

    for (at, dys), outputs in zip(points, together, strict=True):
        alone = kernel(at, *dys)
        assert same_bits(outputs.y, alone.y)
        assert same_bits(outputs.running_var, alone.running_var)
        assert len(outputs.gradients) == len(dys)
        assert all(same_bits(a.dx, b.dx) for a, b in zip(outputs.gradients, alone.gradients, strict=True))


@pytest.mark.parametrize("name", ["running_statistics_in_place", "one_buffer_for_every_y"])
def test_an_implementation_that_writes_where_it_should_not_can_not_change_the_points_that_follow(name):
    inputs, dy = draw(CASE), draw_cotangent(CASE)
    given = (inputs.gamma.copy(), inputs.running_mean.copy(), dy.copy())
    first, second = outputs_at(kernel_of(name), ((replace(inputs, x=inputs.x.copy()), (dy,)) for _ in range(2)))

    assert same_bits(first.y, second.y)
    assert all(map(same_bits, given, (inputs.gamma, inputs.running_mean, dy)))


def test_what_one_point_answers_stays_when_the_next_is_asked():
    points = [(draw(replace(CASE, seed=seed)), ()) for seed in range(2)]
    first, second = outputs_at(kernel_of("one_buffer_for_every_y"), points)

    assert not same_bits(first.y, second.y)


@pytest.mark.parametrize("count", [2, 4])
def test_a_vjp_that_does_not_return_three_gradients_is_no_answer(count):
    def forward(*arrays, **options):
        y, running, _ = forward_of()(*arrays, **options)
        return y, running, lambda dy: (dy,) * count

    kernel = local_kernel(forward)
    with pytest.raises(ValueError, match="values to unpack"):
        kernel(draw(CASE), draw_cotangent(CASE))
    with pytest.raises(ValueError, match="values to unpack"):
        next(outputs_at(kernel, [(draw(CASE), (draw_cotangent(CASE),))]))
