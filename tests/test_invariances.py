"""Moments, invariances and shapes: each claim fails on its mutant and holds for correct code at every scale."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bnbench.cases import draw, draw_cotangent, elements, parse_case, sized
from bnbench.checks import ALL_CHECKS
from bnbench.checks.shapes import LAYOUTS
from bnbench.kernels import local_kernel, same_bits
from bnbench.model import Case, Status, Subject
from bnbench.mutants import ALL_MUTANTS, forward_of
from bnbench.runner import judge

CHECKS = {check.code: check for check in ALL_CHECKS}
MUTANTS = {mutant.name: mutant for mutant in ALL_MUTANTS}
CASES = {
    "batch": Case(shape=(33, 6), eps=1e-3),
    "layer": Case(shape=(7, 9), norm="layer"),
    "group": Case(shape=(3, 6, 5), norm="group", groups=2),
    "instance": Case(shape=(3, 4, 7), norm="instance"),
    "rms": Case(shape=(4, 15), norm="rms"),
}
SPATIAL = {
    "batch": Case(shape=(3, 5, 2, 4)),
    "layer": Case(shape=(3, 5, 2, 4), norm="layer"),
    "group": Case(shape=(2, 6, 3, 4), norm="group", groups=3),
    "instance": Case(shape=(2, 3, 4, 3), norm="instance"),
    "rms": Case(shape=(3, 4, 5), norm="rms"),
}


def comparisons(code, subject, case):
    with np.errstate(all="ignore"):
        return tuple(CHECKS[code].run(subject, case))


def of(name):
    mutant = MUTANTS[name]
    return Subject(name=name, kernel=local_kernel(mutant.make()))


def correct(norm):
    return Subject(name="correct", kernel=local_kernel(forward_of(norm=norm)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("code", "names"),
    {
        "BN111": ("one_mean_for_the_whole_matrix", "layer_one_mean_for_the_whole_matrix"),
        "BN113": ("eps_hard_coded", "layer_eps_missing", "group_eps_beside_the_root", "rms_larger_of_v_and_eps"),
        "BN114": ("no_variance_counts_as_one", "instance_no_variance_counts_as_one", "rms_eps_missing"),
        "BN115": ("textbook_variance", "layer_textbook_variance", "group_textbook_variance"),
        "BN116": ("eps_hard_coded", "group_eps_hard_coded", "rms_eps_hard_coded"),
        "BN117": ("beta_multiplied_by_gamma", "layer_gamma_without_its_sign", "instance_gamma_forgotten"),
        "BN118": ("dgamma_from_y_over_gamma", "rms_dgamma_from_y_over_gamma"),
        "BN119": ("tail_rows_left_out_of_the_mean",),
        "BN120": ("last_channel_left_as_it_was", "group_last_channel_left_as_it_was"),
        "BN122": ("memory_order_taken_for_c", "rms_memory_order"),
        "BN124": ("rows_beyond_a_multiple_of_256_left_out", "mean_broadcast_along_rows", "group_eps_missing"),
    }.items(),
)
def test_the_check_objects_to_its_mutants(code, names, dtype):
    for name in names:
        found = comparisons(code, of(name), replace(CASES[MUTANTS[name].norm], dtype=dtype))
        assert judge(found)[0] is Status.FAILED, name


@pytest.mark.parametrize(
    "name",
    ["channels_mixed_by_a_reshape", "spatial_axes_swapped", "each_pixel_over_the_rows", "group_pixel_by_pixel"],
)
def test_a_wrong_way_through_the_spatial_axes_is_seen(name):
    (found,) = comparisons("BN123", of(name), SPATIAL[MUTANTS[name].norm])
    assert not found.error <= found.limit


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("eps_outside_the_root", "eps outside the root, sqrt(v) + eps"),
        ("layer_eps_missing", "no eps"),
        ("rms_larger_of_v_and_eps", "max(v, eps) in place of v + eps"),
        ("group_variance_over_m_minus_1", "variance with divisor M - 1"),
        ("root_missing", "no root, division by v + eps"),
        ("one_mean_for_the_whole_matrix", None),
    ],
)
def test_the_form_of_an_epsilon_mistake_is_named(name, form):
    first, *_ = comparisons("BN113", of(name), CASES[MUTANTS[name].norm])
    assert first.note == (f"fits: {form}" if form else "fits no known form")


SCALES = [
    {"mean": 0.0, "sd": 1e-6},
    {"mean": 1e6, "sd": 1.0},
    {"mean": 0.0, "sd": 1e6},
    {"mean": -1e4, "sd": 1e-2, "seed": 5},
]


@pytest.mark.parametrize("scale", SCALES, ids=lambda scale: f"mean={scale['mean']:g}/sd={scale['sd']:g}")
@pytest.mark.parametrize("norm", CASES)
def test_correct_code_is_not_objected_to_at_extreme_scales(norm, scale):
    for code in (code for code in CHECKS if "BN111" <= code <= "BN124"):
        if norm in CHECKS[code].norms:
            for case in (CASES[norm], SPATIAL[norm]):
                found = comparisons(code, correct(norm), replace(case, **scale))
                assert judge(found)[0] is Status.PASSED, code


@pytest.mark.parametrize("norm", CASES)
def test_a_layout_may_be_refused(norm):
    def only_contiguous(x, *others, **options):
        if not x.flags.c_contiguous:
            raise ValueError("x must be C-contiguous")
        return forward_of(norm=norm)(x, *others, **options)

    found = comparisons("BN122", Subject(name="strict", kernel=local_kernel(only_contiguous)), CASES[norm])

    assert judge(found)[0] is Status.PASSED
    assert sum(c.got == "refused: ValueError: x must be C-contiguous" for c in found) == 3


def test_a_reshape_is_not_asked_of_who_declares_another_rank():
    subject = replace(
        of("channels_mixed_by_a_reshape"), capabilities=replace(correct("batch").capabilities, ranks=(4,))
    )
    (found,) = comparisons("BN123", subject, SPATIAL["batch"])
    assert found.got == "declares no support for 2 dimensions"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_arrays_arrive_as_they_are_laid_out(layout):
    case = Case(shape=(4, 3, 2))
    inputs, dy, lay = draw(case), draw_cotangent(case), LAYOUTS[layout]
    seen = []

    def looking(x, *others, **options):
        seen.append(x)
        *outputs, vjp = forward_of()(x, *others, **options)
        return *outputs, lambda dy: (seen.append(dy), vjp(dy))[1]

    laid_out = replace(inputs, x=lay(inputs.x), as_laid_out=True)
    local_kernel(looking)(laid_out, lay(dy))

    for got, given in zip(seen, (laid_out.x, lay(dy)), strict=True):
        assert same_bits(got, given)
        assert (got.strides, got.flags.writeable) == (given.strides, given.flags.writeable)
        assert not np.shares_memory(got, given)


def test_arrays_arrive_contiguous_unless_asked_otherwise():
    inputs = draw(Case(shape=(4, 3)))
    seen = []

    def looking(x, *others, **options):
        seen.append(x.flags.c_contiguous)
        return forward_of()(x, *others, **options)

    local_kernel(looking)(replace(inputs, x=np.asfortranarray(inputs.x)))
    assert seen == [True]


@pytest.mark.parametrize(
    "text", ["9x5/train", "3x5x2x4/train", "7x9/layer", "3x6x5/group2", "3x4x7/instance", "4x15/rms"]
)
def test_a_sized_case_has_blocks_of_that_size(text):
    case = sized(parse_case(f"float64/{text}"), blocks=3, elements=17)
    blocks = np.prod(case.shape) // elements(case)

    assert elements(case) == 17
    assert blocks % 3 == 0
    assert len(case.shape) == len(parse_case(f"float64/{text}").shape)
