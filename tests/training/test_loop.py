"""The loop: what it computes is SGD, it ends when it should, and interrupted it goes on as if it had not been."""

import math
from dataclasses import replace

import numpy as np
import pytest

from bnbench.model import Implementation
from bnbench.mutants import ALL_MUTANTS, forward_of
from bnbench.training.checkpoints import checkpoint_of
from bnbench.training.loop import SAVE_EVERY, batch_rows, train
from bnbench.training.model import Run
from bnbench.training.networks import build

torch = pytest.importorskip("torch")

RUN = Run(variant="a", seed=3, norm="batch", implementation="numpy_staged", widths=(8, 8), steps=60, batch=16, every=20)
CONV = replace(RUN, network="conv", widths=(4, 4), inertia=0.9, milestones=(20, 40))


def numbers(trained):
    """All that a run found, without its time."""
    return replace(trained, seconds_per_step=0.0)


def test_a_step_is_the_step_of_sgd(data, implementations):
    run = replace(RUN, norm=None, implementation="", steps=1)
    model = build(run, data, implementations)
    rows = batch_rows(run, 0, len(data.x))
    loss = torch.nn.functional.cross_entropy(model(torch.from_numpy(data.x[rows])), torch.from_numpy(data.labels[rows]))
    loss.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.sub_(run.rate * parameter.grad)
    expected = torch.nn.functional.cross_entropy(
        model(torch.from_numpy(data.test_x)), torch.from_numpy(data.test_labels)
    )
    trained = train(run, data, implementations)

    assert trained.losses == (loss.item(),)
    assert [e.step for e in trained.evaluations] == [0, 1]
    assert trained.evaluations[-1].test_loss == pytest.approx(expected.item(), rel=1e-13)


def test_every_epoch_goes_through_the_examples_once_in_an_order_of_its_own():
    run = replace(RUN, batch=7)
    epochs = [np.concatenate([batch_rows(run, 4 * epoch + i, 30) for i in range(4)]) for epoch in range(2)]
    for rows in epochs:
        assert len(set(rows)) == 28
    assert list(epochs[0]) != list(epochs[1])
    assert list(batch_rows(run, 0, 30)) != list(batch_rows(replace(run, seed=4), 0, 30))


def test_variants_of_a_seed_start_from_the_same_weights_and_seeds_from_others(data, implementations):
    def first(run):
        return next(m for m in build(run, data, implementations) if isinstance(m, torch.nn.Linear)).weight.detach()

    assert torch.equal(first(RUN), first(replace(RUN, norm=None)))
    assert not torch.equal(first(RUN), first(replace(RUN, seed=4)))
    assert first(replace(RUN, weight_scale=1e-3)).std().item() == pytest.approx(1e-3, rel=0.2)


@pytest.mark.parametrize("run", [RUN, replace(RUN, norm=None), CONV], ids=["fc", "without", "conv"])
def test_a_network_learns_and_the_same_run_has_the_same_numbers(data, implementations, run):
    first, second = (train(run, data, implementations) for _ in range(2))
    assert first.evaluations[-1].loss < first.evaluations[0].loss / 2
    assert numbers(first) == numbers(second)
    assert len(first.losses) == run.steps
    assert [e.step for e in first.evaluations] == [0, 20, 40, 60]


class KilledError(BaseException):
    """Nothing catches it, as nothing catches a signal."""


@pytest.mark.parametrize("run", [RUN, CONV], ids=["fc", "conv"])
@pytest.mark.parametrize("when", [1, SAVE_EVERY, SAVE_EVERY + 7])
def test_a_run_that_was_killed_goes_on_to_the_same_numbers(data, implementations, tmp_path, run, when):
    def die(step):
        if step == when:
            raise KilledError

    told = []
    whole = train(run, data, implementations)
    checkpoint = checkpoint_of(tmp_path, "test", run, data)
    with pytest.raises(KilledError):
        train(run, data, implementations, checkpoint=checkpoint, tell=die)
    resumed = train(run, data, implementations, checkpoint=checkpoint, tell=told.append)

    assert numbers(resumed) == numbers(whole)
    assert told[0] == (SAVE_EVERY + 1 if when > SAVE_EVERY else 1)


def test_a_checkpoint_is_of_one_run_on_one_set_of_data(data, tmp_path):
    others = (replace(RUN, rate=0.1), data), (RUN, replace(data, x=data.x + 1e-9))
    names = {checkpoint_of(tmp_path, "test", *pair).name for pair in ((RUN, data), *others)}
    names.add(checkpoint_of(tmp_path, "another", RUN, data).name)
    assert len(names) == 4


def test_a_finished_run_is_read_back_as_it_was(data, implementations, tmp_path):
    checkpoint = checkpoint_of(tmp_path, "test", RUN, data)
    trained = replace(
        train(replace(RUN, steps=2), data, implementations), losses=(math.inf, 0.1), seconds_per_step=0.25
    )
    assert checkpoint.finished() is None
    checkpoint.finish(trained)
    assert checkpoint.finished() == trained


def test_a_run_ends_when_its_loss_is_no_number(data, implementations):
    trained = train(replace(RUN, norm=None, rate=1e200), data, implementations)
    assert trained.stopped == "the loss is no finite number"
    assert len(trained.losses) < RUN.steps


def test_a_run_ends_when_it_loses_patience_and_not_before(data, implementations):
    still = train(replace(RUN, rate=0.0, norm=None, every=5, patience=2), data, implementations)
    assert still.stopped == "the test loss was no better for 2 evaluations"
    assert len(still.losses) == 10
    learning = train(replace(RUN, every=20, patience=2), data, implementations)
    assert learning.stopped == ""


def test_what_an_implementation_raises_ends_the_run_and_is_told(data, implementations):
    def load():
        def forward(*arrays, **options):
            y, running, _ = forward_of()(*arrays, **options)
            return y, running, lambda _: 1 / 0

        return forward

    known = {**implementations, "broken": Implementation(name="broken", load=load)}
    trained = train(replace(RUN, implementation="broken"), data, known)
    assert trained.stopped == "raised ZeroDivisionError: division by zero"
    assert trained.losses == ()


def test_a_mutant_is_really_inside(data, implementations):
    (mutant,) = (m for m in ALL_MUTANTS if m.name == "dx_negated")
    known = {**implementations, "dx_negated": mutant.implementation()}
    wrong = train(replace(RUN, implementation="dx_negated"), data, known)
    right = train(RUN, data, implementations)
    assert wrong.losses[0] == pytest.approx(right.losses[0], rel=1e-12)
    assert abs(wrong.losses[5] - right.losses[5]) > 1e-3


@pytest.mark.parametrize(
    ("run", "words"),
    [(replace(RUN, batch=301), "batches of 301 from 300"), (replace(CONV, norm="layer"), "layer norm")],
)
def test_a_run_that_can_not_be_is_refused(data, implementations, run, words):
    with pytest.raises(ValueError, match=words):
        train(replace(run, implementation="numpy_layer_norm"), data, implementations)
