"""Conventions are read from outputs: every combination is named, and nothing else is."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from bnbench.conventions import describe, infer
from bnbench.kernels import local_kernel
from bnbench.mutants import CORRECT, forward_of
from bnbench.mutants.recipe import moved
from bnbench.registry import discover
from bnbench.runner import load

SD = {
    "eps inside the root": lambda v, eps: np.sqrt(v + eps),
    "eps outside the root": lambda v, eps: np.sqrt(v) + eps,
    "max(v, eps) under the root": lambda v, eps: np.sqrt(np.maximum(v, eps)),
}


def old(running, batch, momentum):
    return moved(running, batch, 1 - momentum)


def recipe(norm="batch", **pieces):
    return local_kernel(forward_of(replace(CORRECT, **pieces), norm))


COMBINATIONS = list(itertools.product((0, 1), SD, ("new", "old"), (0, 1)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("ddof", "eps", "weighed", "kept"), COMBINATIONS)
def test_each_of_the_24_conventions_is_recognized(dtype, ddof, eps, weighed, kept):
    move = moved if weighed == "new" else old
    kernel = recipe(ddof=ddof, sd=SD[eps], move_mean=move, move_var=move, kept_ddof=kept)
    found = infer(kernel, dtype)

    count = ("M", "M - 1")
    expected = {
        "divisor": f"normalizes by {count[ddof]}",
        "eps": eps,
        "momentum": "momentum weighs the new batch" if weighed == "new" else "momentum weighs the old statistics",
        "kept": f"running_var keeps the variance, divisor {count[kept]}",
        "eval statistics": "eval mode uses the running statistics",
        "eval eps": "eps inside the root in eval mode",
    }
    assert {c.name: c.found for c in found.conventions} == expected
    assert found.known
    right = {"divisor": ddof == 0, "eps": eps in next(iter(SD)), "momentum": weighed == "new", "kept": kept == 0}
    assert {c.name: c.as_declared for c in found.conventions} == right | {"eval statistics": True, "eval eps": True}


@pytest.mark.parametrize("name", discover().implementations)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_shipped_implementations_follow_what_they_declare(name, dtype):
    for subject in load(discover().select([name])).subjects:
        declared = subject.capabilities
        rank = None if 2 in declared.ranks else min(declared.ranks)
        found = infer(subject.kernel, dtype, declared.norm, ddof=declared.running_var_ddof, rank=rank)
        assert found.deviations == ""
        assert found.known


@pytest.mark.parametrize("norm", ["layer", "group", "instance", "rms"])
@pytest.mark.parametrize("eps", SD)
@pytest.mark.parametrize("ddof", [0, 1])
def test_norms_within_a_row_have_a_divisor_and_an_eps(norm, eps, ddof):
    text = describe(recipe(norm, sd=SD[eps], ddof=ddof), "float32", norm)
    assert text == f"normalizes by {('M', 'M - 1')[ddof]}; {eps}"


@pytest.mark.parametrize(
    ("pieces", "deviations"),
    [
        ({"sd": lambda v, _: np.sqrt(v)}, "no eps"),
        ({"sd": lambda v, eps: v + eps}, "v + eps without a root"),
        ({"sd": lambda v, _: np.sqrt(v + 1e-5)}, "eps fixed at 1e-05 inside the root"),
        ({"sd": lambda v, _: np.sqrt(v) + 1e-3, "ddof": 1}, "normalizes by M - 1; eps fixed at 0.001 outside the root"),
        ({"sd": lambda v, eps: np.sqrt(v + eps / 2)}, "eps = 5.34e-05 taken as 2.67e-05 inside the root"),
        ({"sd": lambda v, eps: np.sqrt(v + eps) + v}, "y follows no known convention"),
        ({"kept": lambda v, _: np.sqrt(v)}, "running_var keeps the standard deviation, divisor M"),
        ({"kept": lambda v, eps: v + eps}, "running_var keeps v + eps, divisor M"),
        ({"kept": lambda v, eps: 1 / np.sqrt(v + eps)}, "running_var keeps 1 / sqrt(v + eps), divisor M"),
        ({"kept_ddof": 1}, "running_var keeps the variance, divisor M - 1"),
        ({"move_mean": old}, "momentum of running_mean weighs the old statistics"),
        ({"move_var": old}, "momentum of running_var weighs the old statistics"),
        ({"move_mean": lambda a, *_: 2 * a}, "running_mean follows no known convention"),
        ({"eval_sd": SD["eps outside the root"]}, "eps outside the root in eval mode"),
        ({"eval_sd": lambda v, _: np.sqrt(v + 1e-8)}, "eps fixed at 1e-08 inside the root in eval mode"),
        ({"eval_mean": np.multiply}, "y in eval mode follows no known convention"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_deviates_is_named_and_nothing_else(pieces, deviations):
    assert infer(recipe(**pieces), "float64").deviations == deviations


def test_statistics_that_never_move_are_named():
    def unchanged(running, *_):
        return running.copy()

    found = infer(recipe(move_mean=unchanged, move_var=unchanged), "float64")
    assert found.deviations == "momentum is ignored, the statistics never move; running_var keeps nothing"


def test_what_is_declared_of_the_kept_variance_counts():
    kernel = recipe(kept_ddof=1)
    assert infer(kernel, "float32", ddof=1).deviations == ""
    assert infer(kernel, "float32", ddof=0).deviations == "running_var keeps the variance, divisor M - 1"


def test_eval_by_the_batch_is_named():
    forward = forward_of()

    def always_training(*arrays, training, **options):  # noqa: ARG001 - what is ignored
        return forward(*arrays, training=True, **options)

    found = infer(local_kernel(always_training), "float64")
    assert found.deviations == "eval mode uses the batch's statistics"


@pytest.mark.parametrize("rank", [2, 3, 4, 5])
def test_the_number_of_dimensions_can_be_chosen(rank):
    asked = set()
    forward = forward_of()

    def watching(x, *others, **options):
        asked.add(x.ndim)
        return forward(x, *others, **options)

    assert infer(local_kernel(watching), "float64", rank=rank).deviations == ""
    assert asked == {rank}


def test_a_wrong_shape_and_nan_follow_no_convention():
    forward = forward_of()

    def with_y(change):
        def call(*arrays, **options):
            y, running, vjp = forward(*arrays, **options)
            return change(y), running, vjp

        return local_kernel(call)

    for change in (lambda y: y[:-1], lambda y: y * np.nan):
        found = infer(with_y(change), "float64")
        assert not found.known
        assert found.conventions[0].found == "y follows no known convention"


def test_float16_tells_the_divisors_apart():
    def wide(x, gamma, beta, running_mean, running_var, /, *, ddof=0, **options):
        arrays = (a.astype(np.float32) for a in (x, gamma, beta, running_mean, running_var))
        y, running, vjp = forward_of(replace(CORRECT, ddof=ddof))(*arrays, **options)
        return y.astype(np.float16), tuple(a.astype(np.float16) for a in running), vjp

    def bessel(*arrays, **options):
        return wide(*arrays, ddof=1, **options)

    assert infer(local_kernel(wide), "float16").deviations == ""
    assert infer(local_kernel(bessel), "float16").deviations == "normalizes by M - 1"
