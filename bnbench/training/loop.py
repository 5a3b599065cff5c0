"""The training loop: one for all experiments, exact to the last bit when it is interrupted and resumed."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from bnbench.model import Array, Implementation
from bnbench.training.model import Data, Evaluation, Labels, Measure, Run, Trained
from bnbench.training.networks import build

if TYPE_CHECKING:
    from torch import nn

    from bnbench.training.checkpoints import Checkpoint

CHUNK = 512
"""Rows that are evaluated at once."""
SAVE_EVERY = 50
"""Steps from one checkpoint to the next."""

Tell: TypeAlias = Callable[[int], None]
"""Told how many steps are done."""


def train(
    run: Run,
    data: Data,
    implementations: Mapping[str, Implementation],
    *,
    measure: Measure | None = None,
    checkpoint: Checkpoint | None = None,
    tell: Tell = lambda _: None,
) -> Trained:
    """Train the network of a run with SGD on the cross-entropy, from its start or from its checkpoint.

    The rows of a step depend on the seed and the number of the step alone. A run ends early when its loss is no
    number any more, when the implementation raises in a step, or when it has lost patience.
    """
    training = _Training(run, data, implementations)
    if checkpoint is not None and (found := checkpoint.read()) is not None:
        training.restore(*found)
    training.attempt(training.begin)
    while training.goes_on():
        training.attempt(training.step)
        done = len(training.losses)
        tell(done)
        if checkpoint is not None and done % SAVE_EVERY == 0 and training.goes_on() and not run.stateful:
            checkpoint.write(training.so_far(), training.states())
    measures: dict[str, float] = {}
    if measure is not None:
        training.attempt(lambda: measures.update(measure(run, training.model, data)))
    return replace(training.so_far(), measures=measures)


class _Training:
    """A run under way: the network, what trains it, and what is known so far."""

    def __init__(self, run: Run, data: Data, implementations: Mapping[str, Implementation]) -> None:
        import torch

        if run.batch > len(data.x):
            raise ValueError(f"batches of {run.batch} from {len(data.x)} examples")
        self.run, self.data = run, data
        self.model = build(run, data, implementations)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=run.rate, momentum=run.inertia)
        self.schedule = torch.optim.lr_scheduler.MultiStepLR(self.optimizer, list(run.milestones), 0.1)
        self.x, self.labels = torch.from_numpy(data.x), torch.from_numpy(data.labels)
        self.losses: list[float] = []
        self.evaluations: list[Evaluation] = []
        self.seconds: list[float] = []
        self.stopped = ""

    def goes_on(self) -> bool:
        return len(self.losses) < self.run.steps and not self.stopped

    def attempt(self, act: Callable[[], None]) -> None:
        """Do it unless the run has ended; it ends when the implementation raises, whatever that may be."""
        if self.stopped:
            return
        try:
            with np.errstate(all="ignore"):  # a loss that is no number ends the run
                act()
        except Exception as error:  # noqa: BLE001 - what a wrong implementation raises is the result
            self.stopped = f"raised {type(error).__name__}: {error}"

    def begin(self) -> None:
        if not self.evaluations:
            self.evaluations.append(evaluate(self.model, self.data, 0))

    def step(self) -> None:
        """One step of SGD, and an evaluation if it is time for one."""
        start = time.perf_counter()
        self.losses.append(self._descend())
        self.seconds.append(time.perf_counter() - start)
        done = len(self.losses)
        if not math.isfinite(self.losses[-1]):
            self.stopped = "the loss is no finite number"
        elif done % self.run.every == 0 or done == self.run.steps:
            self.evaluations.append(evaluate(self.model, self.data, done))
            self.stopped = _impatience(self.run, self.evaluations)

    def _descend(self) -> float:
        import torch

        rows = torch.from_numpy(batch_rows(self.run, len(self.losses), len(self.x)))
        self.model.train()
        self.optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(self.model(self.x[rows]), self.labels[rows])
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.schedule.step()
        return loss.item()

    def so_far(self) -> Trained:
        return Trained(
            run=self.run,
            losses=tuple(self.losses),
            evaluations=tuple(self.evaluations),
            seconds_per_step=statistics.median(self.seconds) if self.seconds else math.nan,
            stopped=self.stopped,
        )

    def states(self) -> dict[str, Any]:
        """What torch keeps, to be given to :meth:`restore` with :meth:`so_far`."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
        }

    def restore(self, trained: Trained, states: Mapping[str, Any]) -> None:
        self.losses, self.evaluations = list(trained.losses), list(trained.evaluations)
        self.model.load_state_dict(states["model"])
        self.optimizer.load_state_dict(states["optimizer"])
        self.schedule.load_state_dict(states["schedule"])


def batch_rows(run: Run, step: int, rows: int) -> npt.NDArray[np.int64]:
    """The rows of a step ``(batch,)``: every epoch goes through a new order, its remainder left out."""
    epoch, place = divmod(step, rows // run.batch)
    order = np.random.default_rng((run.seed, epoch)).permutation(rows)
    return order[place * run.batch : (place + 1) * run.batch]


def evaluate(model: nn.Module, data: Data, step: int) -> Evaluation:
    """Mean cross-entropy and accuracy on both parts, in eval mode."""
    loss, accuracy = scored(model, data.x, data.labels)
    test_loss, test_accuracy = scored(model, data.test_x, data.test_labels)
    return Evaluation(step=step, loss=loss, accuracy=accuracy, test_loss=test_loss, test_accuracy=test_accuracy)


def scored(model: nn.Module, images: Array, numbers: Labels) -> tuple[float, float]:
    """Mean cross-entropy and accuracy of the model in eval mode on these images ``(N, C, H, W)`` and labels."""
    import torch

    model.eval()
    total = right = 0.0
    with torch.no_grad():
        for start in range(0, len(images), CHUNK):
            x, labels = (torch.from_numpy(a[start : start + CHUNK]) for a in (images, numbers))
            scores = model(x)
            total += torch.nn.functional.cross_entropy(scores, labels, reduction="sum").item()
            right += (scores.argmax(1) == labels).sum().item()
    return total / len(images), right / len(images)


def _impatience(run: Run, evaluations: list[Evaluation]) -> str:
    losses = [evaluation.test_loss for evaluation in evaluations]
    if (
        run.patience is None
        or len(losses) <= run.patience
        or min(losses[-run.patience :]) < min(losses[: -run.patience])
    ):
        return ""
    return f"the test loss was no better for {run.patience} evaluations"
