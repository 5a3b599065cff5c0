"""Tier R: every output against the definition, where the dtype is too coarse for differences to tell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bnbench.cases import draw, draw_cotangent, grid, parse_case
from bnbench.checks import ALL_CHECKS
from bnbench.checks.conformance import calibrated_unit
from bnbench.compare import in_units
from bnbench.honest import evaluate, pairwise, sequential
from bnbench.kernels import local_kernel
from bnbench.model import Capabilities, Case, Implementation, Status
from bnbench.mutants import ALL_MUTANTS, CORRECT, forward_of, recipe
from bnbench.reference import normalize
from bnbench.registry import discover
from bnbench.rounding import output_units
from bnbench.runner import execute, load, plan

MUTANTS = {mutant.name: mutant for mutant in ALL_MUTANTS}
CHECKS = {check.code: check for check in ALL_CHECKS}
TIER = [CHECKS[code] for code in ("BN101", "BN331", "BN332", "BN333", "BN334")]
NORMS = ["batch", "layer", "group", "instance", "rms"]


def unchecked(*_, **__):
    """Accept float16 too, which check_arguments refuses."""


def plugin(dtype, norm="batch", **pieces):
    """A plugin of one dtype, made of the correct recipe with these pieces replaced."""
    whole = replace(CORRECT, check=unchecked, check_grouped=unchecked, **pieces)
    return Implementation(
        name=f"{dtype}_{norm}",
        load=lambda: forward_of(whole, norm),
        capabilities=Capabilities(norm=norm, dtypes=(dtype,), validates=False),
    )


def findings(implementation, checks=ALL_CHECKS, cases=None):
    subjects = load([implementation]).subjects
    return list(execute(plan(subjects, cases or grid(), checks), subjects))


def notes(found):
    return {c.note for f in found for c in f.comparisons if not c.error <= c.limit}


def half_a_thousandth_too_large(r, dy):
    return recipe.dx(r, dy) * dy.dtype.type(1.0005)


def without_the_mean_path(r, dy):
    g = r.dx_hat(dy) / r.sd
    return r.whole(g if r.constants else g - r.x_hat * recipe.mean(g * r.x_hat))


def test_a_float32_plugin_with_a_scale_error_of_one_in_two_thousand_fails_by_name():
    found = findings(plugin("float32", dx=half_a_thousandth_too_large), TIER)
    failed = [f for f in found if f.status is Status.FAILED]

    assert {f.check for f in failed} == {"BN331"}
    assert len(failed) == sum(f.check == "BN331" and f.status is not Status.SKIPPED for f in found)
    assert notes(failed) == {"fits a factor 1.0005"}


def test_a_float32_plugin_with_another_eps_fails_by_name():
    mutant = MUTANTS["eps_of_1e_3_throughout"].implementation()
    float32 = replace(mutant, capabilities=Capabilities(dtypes=("float32",)))
    case = Case(shape=(9, 5), dtype="float32")
    found = findings(float32, TIER, [case, replace(case, training=False)])
    failed = [f for f in found if f.status is Status.FAILED]

    assert {f.check for f in failed} == {"BN331", "BN332", "BN334"}
    assert notes(failed) == {"fits eps = 0.001 in place of 1e-05"}


@pytest.mark.parametrize("norm", NORMS)
def test_a_correct_float16_plugin_gets_a_real_verdict(norm):
    found = findings(plugin("float16", norm))
    judged = [f for f in found if f.case.startswith("float16")]

    assert judged
    assert {f.status for f in judged} <= {Status.PASSED, Status.SKIPPED}
    assert {f.check for f in judged if f.status is Status.PASSED} >= {"BN331", "BN332", "BN333", "BN334", "BN316"}
    reasons = {f.check: f.reason for f in judged if f.status is Status.SKIPPED}
    assert all("float16 see nothing" in reasons[code] for code in ("BN301", "BN302", "BN303"))


def test_a_float16_plugin_without_the_mean_path_fails():
    found = findings(plugin("float16", dx=without_the_mean_path))
    failed = {f.check for f in found if f.status is Status.FAILED}

    assert {"BN311", "BN331"} <= failed
    assert not failed & {"BN332", "BN333", "BN334"}
    assert "fits: the path through the mean is missing" in notes(found)


def test_float16_is_planned_for_those_that_declare_it_and_for_no_other():
    half, single = plugin("float16"), plugin("float32")
    tasks = plan([half, single], grid(), ALL_CHECKS)

    assert {task.implementation for task in tasks if task.case.dtype == "float16"} == {half.name}


@pytest.mark.parametrize("code", ["BN331", "BN332", "BN333", "BN334"])
def test_what_passes_is_graded(code):
    (finding,) = findings(plugin("float32"), [CHECKS[code]], [Case(shape=(9, 5), dtype="float32")])

    assert finding.comparisons[0].note == "accuracy grade A"
    assert finding.comparisons[0].unit == "calibrated units"


def test_nan_is_beyond_every_grade():
    def poisoned(r, dy):
        dx = recipe.dx(r, dy)
        dx[0, 0] = np.nan
        return dx

    (finding,) = findings(plugin("float64", dx=poisoned), [CHECKS["BN331"]], [Case(shape=(9, 5))])

    assert finding.status is Status.FAILED
    assert notes([finding]) == {"not a number, or infinite"}


def test_zeros_are_called_zeros():
    zeros = MUTANTS["dx_is_zero"].implementation()
    (finding,) = findings(zeros, [CHECKS["BN331"]], [Case(shape=(9, 5))])

    assert notes([finding]) == {"all zeros"}


HARD = [
    "float64/257x7/train/mean=1000000",
    "float64/2x3/train/sd=0.000001",
    "float64/2x3/train/mean=12/sd=5",
    "float64/8x3x8x8/train/sd=1000000/mean=1000000",
    "float64/4x257/layer/mean=10000",
    "float32/257x7/train/mean=1000",
    "float32/2x3/train/sd=0.000001",
    "float32/8x3x8x8/train/sd=1000000",
    "float32/64x32/eval/mean=1000",
    "float32/3x4x64/rms/mean=3/sd=0.003",
    "float32/3x6x35/group2/mean=1000",
]


@pytest.mark.parametrize("text", HARD)
def test_correct_implementations_conform_on_hard_data(text):
    case = parse_case(text)
    registry = discover()
    shipped = [i for i in registry.select(()) if i.capabilities.norm == case.norm]
    available = [i for i in shipped if not registry.missing(i)]
    correct = Implementation(
        name="recipe", load=lambda: forward_of(norm=case.norm), capabilities=Capabilities(norm=case.norm)
    )
    for implementation in [*available, correct]:
        found = findings(implementation, TIER, [case])
        assert {f.status for f in found} == {Status.PASSED}, implementation.name
        assert notes(found) == set()


@pytest.mark.parametrize("total", [pairwise, sequential])
@pytest.mark.parametrize("norm", NORMS)
def test_an_honest_evaluation_is_the_reference_but_for_rounding(norm, total):
    case = Case(shape=(5, 6, 7), norm=norm, groups=2 if norm == "group" else 1, mean=3.0)
    inputs, dy = draw(case), draw_cotangent(case)
    outputs = normalize(inputs, dy)
    expected = {"y": outputs.y, **outputs.gradients[0]._asdict()}
    units = output_units(inputs, dy)

    for quantity, got in evaluate(inputs, dy, total).items():
        assert got.dtype == case.dtype
        assert in_units(got, expected[quantity], units[quantity]).max() <= 4


def test_the_two_ways_to_add_differ_and_the_unit_follows_the_worse():
    case = Case(shape=(4097, 2), dtype="float32", mean=100.0)
    inputs, dy = draw(case), draw_cotangent(case)
    expected = normalize(inputs, dy).y
    errors = [np.abs(evaluate(inputs, dy, total)["y"] - expected).max() for total in (pairwise, sequential)]

    assert errors[1] > 4 * errors[0]
    model = output_units(inputs, dy)["y"]
    assert (calibrated_unit(inputs, dy, "y", expected) > 4 * model).any()


def test_the_unit_of_dx_follows_the_terms_where_they_cancel():
    """Two elements and v far above eps: dx is eps-small, its rounding is not."""
    case = Case(shape=(2, 3), sd=100.0)
    inputs, dy = draw(case), draw_cotangent(case)
    dx = normalize(inputs, dy).gradients[0].dx
    unit = output_units(inputs, dy)["dx"]

    assert (unit > np.finfo(np.float64).eps * 100 * np.abs(dx)).all()
    assert in_units(local_kernel(forward_of())(inputs, dy).gradients[0].dx, dx, unit).max() <= 8
