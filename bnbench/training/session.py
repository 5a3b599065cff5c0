"""One experiment: its runs, one after the other, kept as they finish; then the report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bnbench.model import Environment, Implementation
from bnbench.session import Progress
from bnbench.training.accumulation import ACCUMULATION
from bnbench.training.agreement import IMPLEMENTATIONS
from bnbench.training.checkpoints import Checkpoint, checkpoint_of
from bnbench.training.comparisons import CONV, FC_DIGITS, NORMS
from bnbench.training.damage import MUTANTS, inside
from bnbench.training.inference import INFERENCE
from bnbench.training.loop import Tell, train
from bnbench.training.model import Data, Experiment, Run, Setting, Trained, TrainingReport
from bnbench.training.sweeps import BATCH_SIZE, WEIGHT_SCALE

EXPERIMENTS: Mapping[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        FC_DIGITS,
        WEIGHT_SCALE,
        BATCH_SIZE,
        CONV,
        NORMS,
        ACCUMULATION,
        INFERENCE,
        MUTANTS,
        IMPLEMENTATIONS,
    )
}


def perform(
    experiment: Experiment,
    setting: Setting,
    data: Data,
    implementations: Mapping[str, Implementation],
    environment: Environment,
    progress: Progress,
    *,
    checkpoints: Path | None = None,
) -> TrainingReport:
    """Do all runs of an experiment, those that ``checkpoints`` holds finished excepted, and conclude.

    Every finished run is on disk before the next begins, in a folder that is there. Raises what building a network
    raises: a norm that does not load, a batch larger than the data.
    """
    known = {**implementations, **(inside() if experiment is MUTANTS else {})}
    runs = experiment.plan(setting)
    done, total = 0, sum(max(run.steps, 1) for run in runs)
    trained = []
    for run in runs:
        name = f"{run.variant}, seed {run.seed}"

        def tell(step: int, name: str = name, done: int = done) -> None:
            progress("train", done + step, total, name)

        tell(0)
        checkpoint = None if checkpoints is None else checkpoint_of(checkpoints, experiment.name, run, data)
        found = None if checkpoint is None else checkpoint.finished()
        trained.append(found or _trained(experiment, run, data, known, checkpoint, tell))
        done += max(run.steps, 1)
    progress("train", total, total, "")
    return TrainingReport(
        experiment=experiment.name,
        title=experiment.title,
        question=experiment.question,
        data=f"{data.name}: {len(data.x)} images to train on, {len(data.test_x)} to test",
        environment=environment,
        conclusion=experiment.conclude(setting, tuple(trained)),
        trained=tuple(trained),
    )


def _trained(
    experiment: Experiment,
    run: Run,
    data: Data,
    implementations: Mapping[str, Implementation],
    checkpoint: Checkpoint | None,
    tell: Tell,
) -> Trained:
    one = train(run, data, implementations, measure=experiment.measure, checkpoint=checkpoint, tell=tell)
    if checkpoint is not None:
        checkpoint.finish(one)
    return one
