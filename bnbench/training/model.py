"""The nouns of the training experiments: frozen records, from a run to the report of an experiment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from bnbench.model import Array, Environment, Interval, Norm

if TYPE_CHECKING:
    from torch.nn import Module

Labels: TypeAlias = npt.NDArray[np.int64]
Value: TypeAlias = str | float | None
"""One cell of a table; None where there is nothing to say."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Data:
    """Images and labels, in a training and a test part."""

    name: str
    x: Array
    """``(N, C, H, W)``, float64, shifted and scaled to mean 0 and variance 1 over the training part."""
    labels: Labels
    """``(N,)``, from 0."""
    test_x: Array
    test_labels: Labels
    classes: int = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One training run: everything that decides its numbers, beside the data and the code."""

    variant: str
    """What distinguishes it from the others of its experiment, seeds aside."""
    seed: int
    norm: Norm | None
    """Of every hidden stage; None for no normalization."""
    implementation: str = ""
    """What computes the norm."""
    network: Literal["fc", "conv"] = "fc"
    """{affine - norm - relu} x L - affine, or {conv 3x3 - norm - relu - pool} x L - mean - affine."""
    widths: tuple[int, ...] = (100, 100, 100, 100)
    """Units or channels of the hidden stages."""
    weight_scale: float | None = None
    """The standard deviation of the initial weights; None for sqrt(2 / fan-in)."""
    steps: int = 300
    batch: int = 64
    rate: float = 0.05
    """The learning rate of SGD."""
    inertia: float = 0.0
    """The momentum of SGD, which is not batch norm's."""
    milestones: tuple[int, ...] = ()
    """Steps after which the rate is divided by ten."""
    every: int = 10
    """Steps from one evaluation to the next."""
    patience: int | None = None
    """Stop after so many evaluations in which the test loss was no better than before; None to go on."""
    stateful: bool = False
    """The implementation may keep state of its own: an interrupted run starts over."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """The network in eval mode, after so many steps."""

    step: int
    loss: float
    """Mean cross-entropy over the whole training part."""
    accuracy: float
    """On the training part, 0 to 1."""
    test_loss: float
    test_accuracy: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """What came of a run."""

    run: Run
    losses: tuple[float, ...]
    """Of every step's batch, in train mode."""
    evaluations: tuple[Evaluation, ...]
    seconds_per_step: float
    """Median over the steps since the run began or was resumed, evaluations left out; nan where there were none."""
    stopped: str = ""
    """Why it ended before its last step; "" if it did not."""
    measures: Mapping[str, float] = field(default_factory=dict, hash=False)
    """What the experiment measured of the trained network."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """What a user may choose of an experiment."""

    seeds: tuple[int, ...]
    implementation: str = "numpy_staged"
    """Of batch norm, where the experiment does not go through several."""
    available: tuple[str, ...] = ()
    """Every batch norm that can be loaded."""
    steps: int | None = None
    """None for the experiment's own number."""
    patience: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A sentence that an experiment bears out, or does not."""

    sentence: str
    holds: bool | None = None
    """None where there is nothing to hold: an observation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """A place in a figure, and its interval over seeds."""

    x: float
    y: Interval


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """The points of one variant, from left to right."""

    name: str
    points: tuple[Point, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """A drawing as numbers."""

    title: str
    x: str
    y: str
    series: tuple[Series, ...]
    kind: Literal["lines", "points"] = "lines"
    log_x: bool = False
    log_y: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Rows of cells under column heads."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Conclusion:
    """What an experiment comes to."""

    claims: tuple[Claim, ...]
    tables: tuple[Table, ...]
    figures: tuple[Figure, ...] = ()


Measure: TypeAlias = "Callable[[Run, Module, Data], Mapping[str, float]]"
"""Figures of a network at the end of its run; it may change the network."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Experiment:
    """A question, the runs that are to answer it, and how the answer is read off them."""

    name: str
    title: str
    question: str
    plan: Callable[[Setting], tuple[Run, ...]]
    conclude: Callable[[Setting, tuple[Trained, ...]], Conclusion]
    measure: Measure | None = None
    seeds: int = 6
    """By default. Six are the fewest of which a median has an interval at 95 %."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingReport:
    """Everything that an experiment found; JSON, CSV and the page are functions of this record."""

    schema: Literal["bnbench.training/1"] = "bnbench.training/1"
    experiment: str
    title: str
    question: str
    data: str
    environment: Environment
    conclusion: Conclusion
    trained: tuple[Trained, ...]

    @property
    def holds(self) -> bool:
        """Whether no claim failed."""
        return all(claim.holds is not False for claim in self.conclusion.claims)
