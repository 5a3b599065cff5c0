"""Calibration looks for false alarms, and would show one."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from bnbench import calibration
from bnbench.calibration import SCALES, SHAPES, calibrate, calibration_table, cases_of, conditions, label
from bnbench.checks import ALL_CHECKS
from bnbench.kernels import local_kernel
from bnbench.model import Case, Implementation, Subject
from bnbench.mutants import ALL_MUTANTS, Mutant, forward_of
from bnbench.reference import normalize
from bnbench.registry import Registry

FEW = {"float64": ((0, 1, 1e-5), (1e6, 1, 1e-5)), "float32": ((0, 1, 1e-5),)}


def registry_of(*mutants):
    return Registry(implementations={m.name: m.implementation() for m in mutants})


def shown(found, width=80):
    console = Console(file=io.StringIO(), width=width)
    console.print(calibration_table(found), crop=False)
    return console.file.getvalue()


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(calibration, "SCALES", FEW)
    monkeypatch.setattr(calibration, "SHAPES", {"batch": ((4, 5),), "layer": ((5, 4),)})


@pytest.mark.parametrize("norm", SHAPES)
def test_every_norm_meets_at_least_sixty_conditions_with_five_seeds_each(norm):
    cases = [case for condition in conditions([norm]) for case in cases_of(condition)]
    distinct = {replace(case, seed=0, training=True) for case in cases}

    assert len(distinct) >= 60
    assert {case.seed for case in cases} == set(range(5))
    assert len(cases) == len(set(cases)) == len(distinct) * 5 * (2 if norm == "batch" else 1)


def test_the_scales_span_twelve_decades():
    for dtype, most in (("float64", 1e6), ("float32", 1e3)):
        assert max(mean / sd for mean, sd, _ in SCALES[dtype]) == most
        assert {sd for _, sd, _ in SCALES[dtype]} >= {1e-6, 1.0, 1e6}


@pytest.mark.usefixtures("few")
def test_correct_implementations_raise_no_alarm():
    found = calibrate(
        registry_of(*(Mutant(name=n, bug="", norm=n, make=lambda n=n: forward_of(norm=n)) for n in FEWER))
    )

    assert found.alarms == ()
    assert found.implementations == tuple(FEWER)
    assert 0 < max(found.z) <= 32
    assert all(0 < line.margin <= 1 for line in found.lines)
    assert "No false alarms in" in shown(found)
    assert "6 conditions, 2 implementations" in shown(found)


FEWER = ("batch", "layer")


@pytest.mark.usefixtures("few")
def test_an_objection_is_listed_with_its_case_and_never_dropped():
    (wrong,) = [m for m in ALL_MUTANTS if m.name == "dx_without_the_mean_path"]
    found = calibrate(registry_of(wrong))

    assert {f.check for f in found.alarms} == {"BN301"}
    assert sum(line.alarms for line in found.lines) == len(found.alarms) == 3 * 5
    assert found.z[0] > 1000
    assert "15 false alarms" in shown(found)
    assert "dx_without_the_mean_path BN301 float64/4x5/train/seed=3" in shown(found, width=200)


@pytest.mark.usefixtures("few")
def test_nan_is_the_largest_z():
    def load():
        def forward(*arguments, **options):
            y, running, vjp = forward_of()(*arguments, **options)
            return y, running, lambda dy: tuple(g * math.nan for g in vjp(dy))

        return forward

    found = calibrate(Registry(implementations={"nan": Implementation(name="nan", load=load)}))

    assert found.z == (math.inf,) * 3
    assert len(found.alarms) > 0


@pytest.mark.usefixtures("few")
def test_progress_tells_what_is_measured():
    told = []
    calibrate(registry_of(Mutant(name="c", bug="", make=forward_of)), progress=lambda *step: told.append(step))

    assert told == [(0, 3, "batch float64"), (1, 3, "batch float64 mean=1e+06"), (2, 3, "batch float32")]


@pytest.mark.usefixtures("few")
def test_what_is_missing_is_said():
    missing = Implementation(name="ghost", load=forward_of, requires={"no_such_module": "install it"})
    found = calibrate(Registry(implementations={"ghost": missing}))

    assert found.unavailable == ("ghost",)
    assert "not measured, unavailable: ghost" in shown(found)


@pytest.mark.usefixtures("few")
def test_no_line_is_wider_than_80_columns():
    found = calibrate(registry_of(Mutant(name="c", bug="", make=forward_of)))

    assert max(map(len, shown(found).splitlines())) <= 80
    assert max(len(label(c)) for norm in SHAPES for c in conditions([norm])) <= 45


def folded(inputs, /, *dys):
    """Eval mode as one fused multiply-add: what depends on the channel alone is rounded, the product is not."""
    scale = inputs.gamma / np.sqrt(inputs.running_var + inputs.options.eps)
    shift = inputs.beta - inputs.running_mean * scale
    return replace(normalize(inputs, *dys), y=(inputs.x.astype(np.longdouble) * scale + shift).astype(np.float64))


@pytest.mark.parametrize("code", ["BN302", "BN303"])
@pytest.mark.parametrize("mean", [1e2, 1e4, 1e6])
def test_the_rounding_of_folded_constants_is_no_wrong_gradient(code, mean):
    (check,) = [check for check in ALL_CHECKS if check.code == code]
    for seed in range(5):
        case = Case(shape=(3, 8), training=False, mean=mean, seed=seed)
        (comparison,) = check.run(Subject(name="folded", kernel=folded), case)

        assert comparison.error <= comparison.limit


def test_the_kernels_of_this_file_are_batch_norm():
    from bnbench.cases import draw

    inputs = draw(Case(shape=(4, 5), training=False))
    assert abs(folded(inputs).y - local_kernel(forward_of())(inputs).y).max() < 1e-14
