"""A wrong kernel gets its cause, from its outputs alone; a right one gets none."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from bnbench.blocks import channel_sum
from bnbench.diagnose.cause import Slip
from bnbench.diagnose.explanation import explain_causes
from bnbench.diagnose.fingerprint import by_mutant
from bnbench.diagnose.identity import by_identity
from bnbench.kernels import local_kernel
from bnbench.model import Capabilities, Outputs
from bnbench.mutants import ALL_MUTANTS, CORRECT, EQUIVALENT, forward_of, recipe
from bnbench.mutants.causes import CAUSES, cause_of
from bnbench.registry import discover

BATCH = Capabilities()
IN_NORM = {norm: Capabilities(norm=norm) for norm in ("batch", "layer", "group", "instance", "rms")}
MUTANTS = {mutant.name: mutant for mutant in ALL_MUTANTS}
DTYPES = ("float64", "float32")


def kernel_of(norm="batch", **pieces):
    return local_kernel(forward_of(replace(CORRECT, **pieces), norm))


def of_mutant(name, dtype="float64"):
    mutant = MUTANTS[name]
    return local_kernel(mutant.make()), replace(mutant.implementation().capabilities, dtypes=(dtype,))


def decided(causes):
    return {(cause.slip, cause.quantity) for cause in causes if cause.decided}


def verdict(mutant, causes):
    """right, ambiguous, undecided, unseen (no output of these calls is wrong), or wrong."""
    found = decided(causes)
    if not causes:
        return "unseen"
    if mutant.cause in found:
        return "right"
    if found:
        return "wrong"
    return "ambiguous" if any((cause.slip, cause.quantity) == mutant.cause for cause in causes) else "undecided"


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_mutant_is_given_another_cause_than_its_own(dtype, record_property):
    verdicts = {m.name: verdict(m, explain_causes(*of_mutant(m.name, dtype))) for m in ALL_MUTANTS if m.cause}
    score = Counter(verdicts.values())
    record_property("score", dict(score))

    assert [name for name, word in verdicts.items() if word in {"wrong", "ambiguous"}] == []
    assert score["right"] >= 145


@pytest.mark.slow
def test_no_mutant_is_given_another_cause_by_identities_alone(record_property):
    verdicts = {m.name: verdict(m, by_identity(*of_mutant(m.name))) for m in ALL_MUTANTS if m.cause}
    score = Counter(verdicts.values())
    record_property("score", dict(score))

    assert [name for name, word in verdicts.items() if word == "wrong"] == []
    assert score["right"] >= 110


@pytest.mark.parametrize("name", [m.name for m in ALL_MUTANTS if not m.cause])
def test_what_is_none_of_a_quantity_is_not_explained_away(name):
    assert not decided(explain_causes(*of_mutant(name)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("variant", EQUIVALENT, ids=lambda variant: variant.name)
def test_a_correct_variant_has_no_cause(variant, dtype):
    capabilities = replace(variant.implementation().capabilities, dtypes=(dtype,))

    assert explain_causes(local_kernel(variant.make()), capabilities) == ()
    assert by_identity(local_kernel(variant.make()), capabilities) == ()


def test_a_registered_implementation_has_no_cause_in_any_dtype():
    for implementation in discover().implementations.values():
        if implementation.name.startswith("numpy"):
            kernel = local_kernel(implementation.load())
            for dtype in implementation.capabilities.dtypes:
                assert explain_causes(kernel, replace(implementation.capabilities, dtypes=(dtype,))) == ()


def test_every_name_in_the_table_of_causes_is_a_mutant():
    named = {name for name in CAUSES if any(m.name.endswith(name) and cause_of(m.name) for m in ALL_MUTANTS)}

    assert named == set(CAUSES)


# ---- two bugs at once ----


FORWARDS = ("variance_over_m_minus_1", "eps_beside_the_root", "root_missing", "beta_subtracted", "gamma_forgotten")
BACKWARDS = ("mean_path_with_the_wrong_sign", "dvar_halved", "dx_without_gamma", "dx_negated", "dgamma_is_a_mean")


@pytest.mark.parametrize("backward", BACKWARDS)
@pytest.mark.parametrize("forward", FORWARDS)
def test_a_wrong_forward_and_a_wrong_backward_on_top_of_it_are_both_named(forward, backward):
    forward = "eps_outside_the_root" if forward == "eps_beside_the_root" else forward
    pieces = {**MUTANTS[forward].pieces, **MUTANTS[backward].pieces}

    assert decided(explain_causes(kernel_of(**pieces), BATCH)) >= {MUTANTS[forward].cause, MUTANTS[backward].cause}


def test_a_backward_that_follows_half_of_a_wrong_forward_is_not_given_a_bug_of_its_own():
    pieces = {**MUTANTS["gamma_forgotten"].pieces, **MUTANTS["root_missing"].pieces}
    expected = {MUTANTS["gamma_forgotten"].cause, MUTANTS["root_missing"].cause}

    assert decided(explain_causes(kernel_of(**pieces), BATCH)) == expected


def test_unrelated_bugs_of_several_outputs_are_all_named():
    names = ("dgamma_with_x", "dbeta_times_gamma", "dx_without_the_mean_path", "running_sd_is_kept", "eval_without_eps")
    pieces = {key: piece for name in names for key, piece in MUTANTS[name].pieces.items()}
    match = by_mutant(kernel_of(**pieces), BATCH)

    assert {mutant.name for named in match.named for mutant in named.mutants} >= set(names)
    assert match.unexplained == ()


# ---- bugs that are in no list ----


def _summed(of):
    return lambda r, dy: channel_sum(of(r, dy))


def _paths(mean, variance):
    def dx(r, dy):
        g = r.dx_hat(dy)
        if r.constants:
            return recipe.dx(r, dy)
        means = recipe.mean(g), recipe.mean(g * r.x_hat)
        return r.whole((g - mean(r) * means[0] - variance(r) * r.x_hat * means[1]) / r.sd)

    return dx


def _scaled_dx(factor):
    return lambda r, dy: recipe.dx(r, dy) * factor(r)


NEW = {
    "dgamma over C": (
        {"dgamma": lambda r, dy: recipe.dgamma(r, dy) / dy.shape[1]},
        {(Slip.COUNT, "dgamma")},
    ),
    "dx times 3": ({"dx": _scaled_dx(lambda _: 3)}, {(Slip.FACTOR, "dx")}),
    "dx times 0.37": ({"dx": _scaled_dx(lambda _: 0.37)}, {(Slip.FACTOR, "dx")}),
    "dx over M": ({"dx": _scaled_dx(lambda r: 1 / r.elements)}, {(Slip.COUNT, "dx")}),
    "dx over s again": (
        {"dx": lambda r, dy: recipe.dx(r, dy) / r.whole(np.broadcast_to(r.sd, r.x.shape))},
        {(Slip.POWER, "inverse_sd")},
    ),
    "gamma twice in dx": ({"dx": lambda r, dy: recipe.dx(r, r.gamma * dy)}, {(Slip.FACTOR, "dx_hat")}),
    "x_hat squared": ({"y": lambda h, g, b: g * h**2 + b}, {(Slip.POWER, "x_hat")}),
    "beta added twice": ({"y": lambda h, g, b: g * h + 2 * b}, {(Slip.TERM, "y")}),
    "gamma and beta swapped": ({"y": lambda h, g, b: b * h + g}, {(Slip.ORDER, "y")}),
    "gamma squared in y": ({"y": lambda h, g, b: g * g * h + b}, {(Slip.FACTOR, "scaled")}),
    "var over M + 1": ({"ddof": -1}, {(Slip.COUNT, "var")}),
    "var over M + 1 in the forward alone": (
        {"ddof": -1, "dx": lambda r, dy: recipe.dx(replace(r, ddof=0), dy)},
        {(Slip.COUNT, "var"), (Slip.COUNT, "dvar")},
    ),
    "mean path four times": ({"dx": _paths(lambda _: 4, lambda _: 1)}, {(Slip.FACTOR, "dmu")}),
    "variance path summed": ({"dx": _paths(lambda _: 1, lambda r: r.elements)}, {(Slip.COUNT, "dvar")}),
    "variance path over sd^4": ({"dx": _paths(lambda _: 1, lambda r: 1 / r.sd)}, {(Slip.POWER, "dvar")}),
    "both paths wrong": (
        {"dx": _paths(lambda _: -1, lambda r: r.elements / (r.elements - 1))},
        {(Slip.SIGN, "dmu"), (Slip.COUNT, "dvar")},
    ),
    "dgamma of y": (
        {"dgamma": _summed(lambda r, dy: dy * r.gamma * r.whole(r.x_hat))},
        {(Slip.FACTOR, "dgamma")},
    ),
    "dgamma halved": ({"dgamma": lambda r, dy: recipe.dgamma(r, dy) / 2}, {(Slip.FACTOR, "dgamma")}),
    "dbeta negated": ({"dbeta": lambda r, dy: -recipe.dbeta(r, dy)}, {(Slip.SIGN, "dbeta")}),
    "dbeta of the first row": ({"dbeta": lambda _, dy: channel_sum(dy[:1])}, {(Slip.REDUCTION, "dbeta")}),
    "running_mean with a minus": (
        {"move_mean": lambda old, new, m: (1 - m) * old - m * new},
        {(Slip.STATE, "running_mean")},
    ),
    "half of each running_var": (
        {"move_var": lambda old, new, _: 0.5 * (old + new)},
        {(Slip.STATE, "running_var")},
    ),
    "eval sd without a root": ({"eval_sd": lambda v, _: v}, {(Slip.POWER, "sd")}),
}


@pytest.mark.parametrize("name", NEW)
def test_a_bug_of_no_list_is_recognized_by_what_it_does(name):
    pieces, expected = NEW[name]

    assert decided(explain_causes(kernel_of(**pieces), BATCH)) == expected


STRANGE = {
    "y squashed": {"y": lambda h, g, b: np.tanh(g * h + b)},
    "noise in dx": {"dx": lambda r, dy: recipe.dx(r, dy) + 0.01 * np.sin(1000 * dy)},
    "sorted dgamma": {"dgamma": lambda r, dy: np.sort(recipe.dgamma(r, dy))},
    "dx of the cubed dy": {"dx": lambda r, dy: recipe.dx(r, dy**3)},
    "median for mean": {"mean": lambda a: np.median(a, axis=1, keepdims=True)},
    "not a number": {"dx": lambda _, dy: np.full_like(dy, np.nan)},
    "y infinite": {"y": lambda h, g, b: g * h / (0 * b)},
}


@pytest.mark.parametrize("name", STRANGE)
def test_a_bug_like_no_other_is_left_undecided_with_what_is_known(name):
    causes = explain_causes(kernel_of(**STRANGE[name]), BATCH)

    assert causes
    assert not decided(causes)
    assert all(cause.evidence for cause in causes)


@pytest.mark.parametrize("norm", IN_NORM)
def test_a_wrong_path_through_the_variance_is_recognized_in_every_norm(norm):
    dx = _paths(lambda r: 0 if r.norm == "rms" else 1, lambda _: 3)

    assert decided(explain_causes(kernel_of(norm, dx=dx), IN_NORM[norm])) == {(Slip.FACTOR, "dvar")}


def test_the_first_of_two_causes_is_the_surer():
    pieces = {**MUTANTS["dgamma_with_x"].pieces, **STRANGE["noise in dx"]}
    causes = explain_causes(kernel_of(**pieces), BATCH)

    assert [cause.decided for cause in causes] == [True, False, False]
    assert causes[0].quantity == "dgamma"


def test_a_gradient_that_is_wrong_in_both_modes_is_one_cause():
    pieces = {**MUTANTS["eps_outside_the_root"].pieces, **MUTANTS["dgamma_is_a_mean"].pieces}
    causes = explain_causes(kernel_of(**pieces), BATCH)

    assert [(cause.slip, cause.quantity) for cause in causes] == [(Slip.EPS, "sd"), (Slip.COUNT, "dgamma")]


def test_a_residual_says_how_much_of_a_path_is_missing():
    """A path through the mean that is missing in every second row leaves part of sum(g), and no known formula."""

    def dx(r, dy):
        lifted = recipe.dx(r, dy)
        g = r.whole(np.broadcast_to(recipe.mean(r.dx_hat(dy)) / r.sd, r.x.shape))
        lifted[::2] += 0 if r.constants else g[::2]
        return lifted

    (cause,) = explain_causes(kernel_of(dx=dx), BATCH)

    assert cause.slip is None
    assert "the sum of dx 1 over a block is off by" in cause.evidence


# ---- kernels that take less than everything ----


@pytest.mark.parametrize("name", ["eps_outside_the_root", "dx_without_the_mean_path", "running_var_weighs_the_old"])
def test_a_kernel_of_float32_and_two_dimensions_alone_is_explained(name):
    inner = local_kernel(MUTANTS[name].make())

    def narrow(inputs, /, *dys, beside=None):
        assert inputs.x.dtype == np.float32
        assert inputs.x.ndim == 2
        return inner(inputs, *dys, beside=beside)

    causes = explain_causes(narrow, Capabilities(dtypes=("float32",), ranks=(2,)))

    assert decided(causes) == {MUTANTS[name].cause}


def test_a_kernel_with_an_eps_of_its_own_is_tried_at_that_eps():
    inner = local_kernel(forward_of())

    def fixed(inputs, /, *dys, beside=None):
        return inner(replace(inputs, options=replace(inputs.options, eps=1e-5)), *dys, beside=beside)

    assert explain_causes(fixed, BATCH, eps=1e-5) == ()
    assert decided(explain_causes(fixed, BATCH)) == {(Slip.EPS, "eps")}


def test_an_output_of_another_shape_is_never_taken_for_right():
    inner = local_kernel(forward_of())

    def wide(inputs, /, *dys, beside=None):
        answer = inner(inputs, *dys, beside=beside)
        gradients = tuple(each._replace(dgamma=each.dgamma[np.newaxis]) for each in answer.gradients)
        return Outputs(
            y=answer.y, running_mean=answer.running_mean, running_var=answer.running_var, gradients=gradients
        )

    assert decided(explain_causes(wide, BATCH)) == {(Slip.LAYOUT, "dgamma")}


def test_what_a_kernel_raises_is_the_callers():
    def mean(_):
        raise ZeroDivisionError("no")

    with pytest.raises(ZeroDivisionError):
        explain_causes(kernel_of(mean=mean), BATCH)
