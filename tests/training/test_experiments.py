"""The experiments: what they claim is what happens, and a claim that should fail does."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest

from bnbench.model import Implementation, Interval
from bnbench.mutants import ALL_MUTANTS
from bnbench.training.accumulation import ROWS, gradient
from bnbench.training.agreement import IMPLEMENTATIONS
from bnbench.training.comparisons import FC_DIGITS
from bnbench.training.damage import RIGHT, error_of, inside
from bnbench.training.inference import COURSE, POPULATION, TORCH, use_course_statistics, use_population_statistics
from bnbench.training.loop import batch_rows, train
from bnbench.training.model import Evaluation, Run, Setting, Trained
from bnbench.training.networks import build
from bnbench.training.session import EXPERIMENTS, perform
from bnbench.training.summaries import accuracy, curves, spread, steps_to

torch = pytest.importorskip("torch")

MUTANTS = {mutant.name: mutant for mutant in ALL_MUTANTS}


def seeds_of(losses, steps=(0, 10, 20)):
    """A run whose training loss is this at these steps."""
    return tuple(
        Evaluation(step=s, loss=x, accuracy=0.5, test_loss=x, test_accuracy=1 - x)
        for s, x in zip(steps, losses, strict=False)
    )


def made(run, losses, **fields):
    return Trained(run=run, losses=(), evaluations=seeds_of(losses), seconds_per_step=1e-3, **fields)


# ---- accumulation ----


def test_accumulated_gradients_are_those_of_the_full_batch_without_batch_norm_and_not_with_it(done):
    report = done("accumulation")
    assert [claim.holds for claim in report.conclusion.claims] == [True, True, True]
    by_norm = {one.run.norm: one.measures for one in report.trained}
    assert max(by_norm[None].values()) <= 1e-12
    assert max(by_norm["layer"].values()) <= 1e-12
    assert min(by_norm["batch"].values()) >= 0.1
    assert "1" in by_norm[None]
    assert "1" not in by_norm["batch"]


def test_the_full_batch_gradient_is_that_of_the_mean_loss(data, implementations):
    run = Run(variant="a", seed=0, norm="batch", implementation="numpy_staged", widths=(8,))
    model = build(run, data, implementations)
    x, labels = torch.from_numpy(data.x[:ROWS]), torch.from_numpy(data.labels[:ROWS])
    found = gradient(model, x, labels, ROWS)
    model.zero_grad()
    torch.nn.functional.cross_entropy(model(x), labels).backward()
    expected = torch.cat([p.grad.flatten() for p in model.parameters()])
    assert float((found - expected).norm() / expected.norm()) <= 1e-14


# ---- inference ----


@pytest.fixture
def trained_network(data, implementations):
    """A network in torch's own layers after eight batches, and what its first batch norm has seen."""
    run = Run(variant="a", seed=0, norm="batch", implementation="torch_native", widths=(6,), batch=16, steps=8)
    model = build(run, data, implementations).train()
    seen = []
    layer = next(m for m in model.modules() if isinstance(m, torch.nn.BatchNorm1d))
    layer.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0].detach().numpy()))
    with torch.no_grad():
        for step in range(run.steps):
            model(torch.from_numpy(data.x[batch_rows(run, step, len(data.x))]))
    return run, model, layer, seen


def test_the_courses_statistics_are_its_running_average_from_zeros_with_divisor_m(data, trained_network):
    run, model, layer, seen = trained_network
    mean, var = np.zeros(6), np.zeros(6)
    for x in seen:
        mean, var = 0.9 * mean + 0.1 * x.mean(0), 0.9 * var + 0.1 * x.var(0)
    use_course_statistics(model, run, data)
    np.testing.assert_allclose(layer.running_mean, mean, rtol=1e-12)
    np.testing.assert_allclose(layer.running_var, var, rtol=1e-12)


def test_population_statistics_are_those_of_algorithm_2(data, trained_network):
    run, model, layer, seen = trained_network
    seen.clear()
    use_population_statistics(model, run, data)
    assert len(seen) == len(data.x) // run.batch
    mean = np.mean([x.mean(0) for x in seen], axis=0)
    var = run.batch / (run.batch - 1) * np.mean([x.var(0) for x in seen], axis=0)
    np.testing.assert_allclose(layer.running_mean, mean, rtol=1e-12)
    np.testing.assert_allclose(layer.running_var, var, rtol=1e-12)
    assert layer.momentum == 0.1


def test_inference_gives_three_accuracies_and_that_of_torch_is_the_networks_own(done):
    report = done("inference", steps=8)
    for one in report.trained:
        assert {f"accuracy, {way}" for way in (COURSE, TORCH, POPULATION)} < one.measures.keys()
        assert one.measures[f"accuracy, {TORCH}"] == one.evaluations[-1].test_accuracy
    sentence = report.conclusion.claims[-1].sentence
    assert all(way in sentence for way in (COURSE, TORCH, POPULATION))


# ---- implementations ----


def test_every_batch_norm_trains_to_the_same_curve(done, implementations):
    report = done("implementations", seeds=(0,), steps=50)
    names = {one.run.implementation for one in report.trained}
    assert names == {n for n, i in implementations.items() if i.capabilities.norm == "batch"}
    assert {"numpy_staged", "numpy_simplified", "torch_native"} <= names
    assert all(claim.holds for claim in report.conclusion.claims)
    assert len(report.conclusion.claims) == 2 * (len(names) - 1)


@pytest.mark.parametrize("mutant", ["dx_scaled_by_1_0005", "eps_outside_the_root"])
def test_an_implementation_that_is_a_little_wrong_has_another_curve(data, implementations, mutant):
    wrong = MUTANTS[mutant].implementation()
    known = {**implementations, wrong.name: wrong}
    setting = Setting(seeds=(0,), available=("torch_native", wrong.name), steps=10)
    trained = tuple(train(run, data, known) for run in IMPLEMENTATIONS.plan(setting))
    assert [claim.holds for claim in IMPLEMENTATIONS.conclude(setting, trained).claims] == [False, False]


# ---- mutants ----


def test_what_is_inside_is_wrong_in_one_call_and_the_right_one_is_not():
    assert RIGHT.name in inside()
    assert len(inside()) > 80
    assert error_of(MUTANTS["dx_negated"]) == pytest.approx(2, rel=1e-9)
    assert "shapes_not_checked" not in inside()  # nothing is wrong with its numbers
    assert "spatial_axes_swapped" not in inside()  # there are no spatial axes here


def test_mutants_are_ranked_by_damage(done, monkeypatch):
    few = {name: inside()[name] for name in (RIGHT.name, "dx_negated", "eval_without_eps")}
    monkeypatch.setattr("bnbench.training.damage.inside", lambda: few)
    monkeypatch.setattr("bnbench.training.session.inside", lambda: few)
    report = done("mutants", steps=40)
    (table,) = report.conclusion.tables
    lost = [float(row[4]) for row in table.rows]
    assert table.rows[0][1] == "dx_negated"
    assert lost == sorted(lost, reverse=True)
    assert lost[0] > 5
    assert {row[1]: row[5] for row in table.rows}["eval_without_eps"] == "hidden"
    assert all(one.run.stateful for one in report.trained)


# ---- comparisons ----


def conclusion_of(without, with_):
    setting = Setting(seeds=(0, 1))
    runs = FC_DIGITS.plan(setting)
    trained = tuple(
        made(run, (2.0, with_[run.seed] if run.norm else without[run.seed], 0.05 if run.norm else 0.2)) for run in runs
    )
    return FC_DIGITS.conclude(setting, trained)


def test_the_claim_of_fc_digits_is_about_every_seed():
    assert conclusion_of(without=(0.5, 0.5), with_=(0.01, 0.01)).claims[0].holds
    assert not conclusion_of(without=(0.5, 0.01), with_=(0.01, 0.01)).claims[0].holds
    assert not conclusion_of(without=(0.01, 0.01), with_=(0.5, 0.5)).claims[0].holds


@pytest.mark.parametrize("name", ["conv", "norms", "weight-scale", "batch-size", "fc-digits"])
def test_an_experiment_concludes_with_tables_and_figures_of_every_variant(done, name):
    report = done(name, seeds=(0,), steps=2)
    drawn = [series for figure in report.conclusion.figures for series in figure.series]
    assert report.conclusion.claims
    assert report.conclusion.tables[0].rows
    assert drawn
    assert all(series.points for series in drawn)
    assert all(one.stopped == "" and len(one.losses) == 2 for one in report.trained)


def test_every_experiment_of_the_catalogue_can_be_planned_with_the_seeds_that_it_names():
    for name, experiment in EXPERIMENTS.items():
        assert experiment.name == name
        setting = Setting(seeds=tuple(range(experiment.seeds)), available=("torch_native", "c_fused"), patience=3)
        runs = experiment.plan(setting)
        assert len(set(runs)) == len(runs)
        assert {run.seed for run in runs} == set(setting.seeds)
        assert {run.patience for run in runs} == {3}


def test_a_batch_norm_of_choice_is_what_is_trained(data, implementations):
    calls = []

    def load():
        forward = implementations["numpy_staged"].load()
        return lambda *arrays, **options: calls.append(1) or forward(*arrays, **options)

    known = {**implementations, "mine": Implementation(name="mine", load=load)}
    setting = Setting(seeds=(0,), implementation="mine", steps=1)
    perform(EXPERIMENTS["fc-digits"], setting, data, known, None, lambda *_: None)
    assert calls


class KilledError(BaseException):
    """Nothing catches it, as nothing catches a signal."""


def test_an_experiment_that_was_killed_goes_on_and_concludes_the_same(done, tmp_path):
    def die(_, step, *__):
        if step == 4 * 60 + 55:  # in the fifth run, after a checkpoint of it
            raise KilledError

    steps = []
    choices = {"steps": 60, "seeds": (0, 1)}
    whole = done("fc-digits", **choices)
    with pytest.raises(KilledError):
        done("fc-digits", checkpoints=tmp_path, progress=die, **choices)
    resumed = done("fc-digits", checkpoints=tmp_path, progress=lambda _, step, *__: steps.append(step), **choices)

    assert [replace(one, seconds_per_step=0) for one in resumed.trained] == [
        replace(one, seconds_per_step=0) for one in whole.trained
    ]
    assert resumed.conclusion.claims == whole.conclusion.claims
    assert steps[:6] == [0, 60, 120, 180, 240, 4 * 60 + 51]


# ---- summaries ----


def test_six_values_have_an_interval_at_95_percent_and_fewer_a_range():
    assert spread([5.0, 1.0, 2.0, 4.0, 3.0, 6.0]) == Interval(median=3.5, low=1.0, high=6.0)
    assert spread([float(i) for i in range(12)]) == Interval(median=5.5, low=2.0, high=9.0)
    assert spread([1.0]) == Interval(median=1.0, low=1.0, high=1.0)
    assert spread([math.nan, 1.0, 2.0]) == Interval(median=2.0, low=1.0, high=math.inf)


def test_steps_to_a_loss_are_infinite_where_it_is_never_reached():
    run = Run(variant="a", seed=0, norm=None)
    assert steps_to(made(run, (2.0, 0.5, 0.1)), 0.1) == 20
    assert steps_to(made(run, (2.0, 0.5, math.nan)), 0.1) == math.inf


def test_a_run_that_ended_early_counts_with_its_last_value():
    run = Run(variant="a", seed=0, norm=None)
    short = replace(made(run, (2.0, 1.0, 0.0)), evaluations=seeds_of((2.0, 4.0), (0, 10)))
    figure = curves("t", "y", [made(run, (2.0, 1.0, 0.0)), short], lambda e: e.loss)
    (series,) = figure.series
    assert [(p.x, p.y.low, p.y.high) for p in series.points] == [(0, 2.0, 2.0), (10, 1.0, 4.0), (20, 0.0, 4.0)]
    assert accuracy(short) == -3.0


def test_deep_copies_of_a_network_share_no_statistics(data, implementations):
    run = Run(variant="a", seed=0, norm="batch", implementation="numpy_staged", widths=(6,))
    model = build(run, data, implementations)
    other = copy.deepcopy(model)
    other(torch.from_numpy(data.x[:8]))
    assert not torch.equal(model.state_dict()["2.running_mean"], other.state_dict()["2.running_mean"])
