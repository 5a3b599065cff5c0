"""The nouns: frozen records that every other room passes around.

Shapes are written as in the rest of the project: ``x`` is ``(N, C)`` or ``(N, C, *spatial)``, per-channel
arrays are ``(C,)``. Every array of one call has the same dtype, float32 or float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.floating[Any]]

Norm: TypeAlias = Literal["batch", "layer", "group", "instance", "rms"]
"""What is normalized together; :mod:`bnbench.blocks` has the definition of each."""

Vjp: TypeAlias = Callable[[Array], tuple[Array, Array, Array]]
"""``vjp(dy) -> (dx, dgamma, dbeta)``: the backward map of one forward call."""


class GroupedForward(Protocol):
    """The boundary of the norms within a row (layer, group, instance, rms): no state, no modes."""

    def __call__(self, x: Array, gamma: Array, beta: Array, /, *, groups: int, eps: float) -> tuple[Array, Vjp]:
        """Return ``y`` and the backward map. ``groups`` is 1 for layer and rms, C for instance norm."""
        ...


class Forward(Protocol):
    """The boundary of batch norm: what an implementation is. State is an argument, never a member."""

    def __call__(
        self,
        x: Array,
        gamma: Array,
        beta: Array,
        running_mean: Array,
        running_var: Array,
        /,
        *,
        training: bool,
        eps: float,
        momentum: float,
    ) -> tuple[Array, tuple[Array, Array], Vjp]:
        """Return ``y``, the new ``(running_mean, running_var)`` and the backward map."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Everything a normalization takes that is not an array.

    ``training`` and ``momentum`` (of the new batch) are batch norm's, ``groups`` is group norm's.
    """

    training: bool = True
    norm: Norm = "batch"
    groups: int = 1
    eps: float = 1e-5
    momentum: float = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Inputs:
    """The arguments of one forward call: ``x`` ``(N, C, *spatial)``, the others ``(C,)``."""

    x: Array
    gamma: Array
    beta: Array
    running_mean: Array
    running_var: Array
    options: Options
    as_laid_out: bool = False
    """Whether arrays reach the implementation with the strides they have here; C-contiguous otherwise."""


class Gradients(NamedTuple):
    """What a vjp returns: ``dx`` shaped as ``x``; ``dgamma`` and ``dbeta`` ``(C,)``."""

    dx: Array
    dgamma: Array
    dbeta: Array


@dataclass(frozen=True, kw_only=True, slots=True)
class Outputs:
    """What a kernel answers: one ``Gradients`` for each cotangent it was given."""

    y: Array
    running_mean: Array
    running_var: Array
    gradients: tuple[Gradients, ...] = ()
    mutated: tuple[str, ...] = ()
    """Names of the arguments that the call changed in place (none, if it is well behaved)."""
    overwritten: tuple[str, ...] = ()
    """Names of the outputs that changed after they were returned, by a vjp or a call beside (none, likewise)."""


class Kernel(Protocol):
    """The only door to an implementation: one forward call, then one vjp call per cotangent.

    With ``beside``, another forward call of the same implementation comes between the forward and the
    vjps, as the next layer of a network would; what it answers is dropped. Whether the code behind the
    door runs in this process or another can't be told from here.
    """

    def __call__(self, inputs: Inputs, /, *dys: Array, beside: Inputs | None = None) -> Outputs: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Capabilities:
    """What an implementation declares of itself; checks follow the declaration."""

    norm: Norm = "batch"
    dtypes: tuple[str, ...] = ("float32", "float64")
    ranks: tuple[int, ...] = (2, 3, 4, 5)
    running_var_ddof: Literal[0, 1] = 0
    """Divisor ``M - ddof`` of the variance that is *kept*; normalizing always divides by ``M``."""
    validates: bool = True
    """Whether wrong shapes, dtypes and modes are refused with TypeError or ValueError."""
    eval_vjp: bool = True
    """Whether there is a backward in eval mode; courses define none."""

    def has_vjp(self, *, training: bool) -> bool:
        """Whether there is a backward in this mode."""
        return training or self.eval_vjp


@dataclass(frozen=True, kw_only=True, slots=True)
class Implementation:
    """One implementation of one normalization, as a plugin module declares it."""

    name: str
    load: Callable[[], Forward | GroupedForward]
    """Imports what is heavy and returns the forward function."""
    summary: str = ""
    capabilities: Capabilities = Capabilities()
    requires: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Modules that ``load`` imports, each with what to do when it is missing."""
    unavailable: Callable[[], str] = str
    """Says why it can't be loaded here though those modules are there, or "". Imports nothing heavy."""
    on_request: bool = False
    """Whether it runs only where it is named, since what ``load`` or a first call does takes long."""
    takes_out: bool = False
    """Whether forward takes ``out=(y, running_mean, running_var)``, or ``(y,)`` where there are none, and its vjp
    ``out=(dx, dgamma, dbeta)``: C-contiguous arrays that are filled and returned. Timing then gives them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """What a check looks at: an implementation behind its kernel."""

    name: str
    kernel: Kernel
    capabilities: Capabilities = Capabilities()
    on_threads: Callable[[int], Kernel] | None = None
    """The kernel with so many threads for every library; None where that can't be arranged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One point of the grid: a shape, a dtype, a norm or mode, a distribution of ``x`` and the options.

    ``x`` is drawn as ``sd * N(0, 1) + mean``. Printing and parsing are in :mod:`bnbench.cases`.
    """

    shape: tuple[int, ...]
    dtype: str = "float64"
    training: bool = True
    """The mode of batch norm; True for the norms that have none."""
    norm: Norm = "batch"
    groups: int = 1
    """Of group norm; 1 for every other."""
    mean: float = 0.0
    sd: float = 1.0
    eps: float = 1e-5
    momentum: float = 0.1
    seed: int = 0

    @property
    def options(self) -> Options:
        return Options(training=self.training, norm=self.norm, groups=self.groups, eps=self.eps, momentum=self.momentum)

    @property
    def channels(self) -> int:
        return self.shape[1]


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Evidence: how far one quantity is from what it should be, in which unit, and where.

    ``error`` is in units of ``unit``; the runner fails what does not satisfy ``error <= limit``.
    """

    quantity: str
    error: float
    limit: float
    unit: str
    got: float | str
    expected: float | str
    index: tuple[int, ...] | None = None
    """Where the largest error is; None for a quantity that is not an array."""
    relative: float | None = None
    """The courses' relative error, ``max |a - b| / max(1e-8, |a| + |b|)``: shown, never judged."""
    trivial: bool = False
    """Both sides are zero, so that agreement proves nothing."""
    note: str = ""
    """What else the evidence says, for example which convention fits instead."""


class Status(StrEnum):
    """The verdict on one check of one implementation on one case."""

    PASSED = "passed"
    FAILED = "failed"
    ERRORED = "errored"
    SKIPPED = "skipped"
    VACUOUS = "vacuous"


CheckFunction: TypeAlias = Callable[[Subject, Case], Iterator[Comparison]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """A claim about every implementation. It measures; :mod:`bnbench.runner` judges."""

    code: str
    name: str
    group: str
    claim: str
    maths: str
    usual_cause: str
    mutant: str
    """The wrong normalization of :mod:`bnbench.mutants` that this check alone catches."""
    run: CheckFunction
    training: bool | None = None
    """The mode it applies to; None for both."""
    norms: tuple[Norm, ...] = ("batch", "layer", "group", "instance", "rms")
    after: tuple[str, ...] = ()
    """Codes of checks without which this one can't be measured."""
    needs_threads: bool = False
    """Applies only to subjects that can be run with another number of threads."""
    needs_validation: bool = False
    """Applies only to implementations that declare ``validates``."""
    needs_vjp: bool = False
    """Asks for gradients in either mode: skipped in eval mode where there is no backward."""
    blind: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Dtypes in which it can't tell right from wrong, each with the reason: skipped there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One verdict with its evidence. ``comparisons`` is empty when nothing could be measured."""

    implementation: str
    check: str
    claim: str
    case: str
    status: Status
    reason: str = ""
    comparisons: tuple[Comparison, ...] = ()
    reproduce: str = ""
    """The one command that shows this finding again."""
    hint: str = ""
    """What probably causes it, as far as the implementation's answers give it away."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A median with its confidence interval."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """One timing row, beside the ratio to the baseline measured in the same interleaved run."""

    implementation: str
    case: str
    operation: Literal["forward_train", "forward_eval", "backward"]
    seconds: Interval
    baseline: str
    ratio: Interval
    """Baseline time divided by this implementation's time: above 1 is faster than the baseline."""
    gigabytes_per_second: float
    """Minimal traffic (each input read once, each output written once) over the median time."""
    faults_per_call: float
    rounds: int
    calls_per_round: int
    relative_error: float
    """Largest error of the operation's outputs, relative to the largest value of the reference."""
    hard_error: float | None = None
    """The same on hard data, mean 1e4 and sd 0.1, for speed without accuracy is worth nothing; None if not measured."""
    reproduce: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class SelfTestRow:
    """One implementation timed against itself, exactly as it is timed against others."""

    implementation: str
    case: str
    operation: Literal["forward_train", "forward_eval", "backward"]
    size: Literal["small", "medium", "large"]
    """Of x: up to 64 KiB, up to 2 MiB, beyond."""
    ratio: Interval
    """Its time over its own: an interval without 1 is a false alarm."""
    slowed: Interval | None = None
    """Its time over that of the same with known extra work; None where none was planted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SelfTest:
    """What the timings of a report are worth: equal functions compared, and unequal ones, on the same machine."""

    rows: tuple[SelfTestRow, ...]
    planted: float
    """The extra work of ``slowed``, as a share."""
    boundary: float
    """Seconds of a timed call, (4, 5) float32, of a function that does nothing: what timing adds to a call."""
    load: tuple[float, ...] = ()
    """Processes that ran or wanted to, on average over a minute, before and after; empty where unknown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Untimed:
    """A row that was not timed, and why: failed verification, unsupported, unavailable."""

    implementation: str
    case: str
    operation: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ImplementationInfo:
    """An implementation as a report lists it."""

    name: str
    summary: str
    capabilities: Capabilities
    available: bool
    reason: str = ""
    """Why it is unavailable and what to do; empty when it is available."""
    conclusion: str = ""
    """What its findings come to, where they are not all as they should be."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Broken:
    """A plugin that could not be loaded: always the harness's business, never swallowed."""

    source: str
    error: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckInfo:
    """A check as a report lists it."""

    code: str
    name: str
    group: str
    claim: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Environment:
    """On what a report was made."""

    created: str
    """UTC, ISO 8601."""
    bnbench: str
    python: str
    platform: str
    cpu: str
    cores: int
    threads: int
    """Threads that every implementation was allowed."""
    allocator: str
    versions: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """Everything a run found. All renderings are functions of this record."""

    schema: Literal["bnbench.report/1"] = "bnbench.report/1"
    environment: Environment
    implementations: tuple[ImplementationInfo, ...] = ()
    broken: tuple[Broken, ...] = ()
    checks: tuple[CheckInfo, ...] = ()
    findings: tuple[Finding, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    selftest: SelfTest | None = None
    """What the measurements are worth; None where nothing was timed."""
    untimed: tuple[Untimed, ...] = ()
    staged_errors: Mapping[str, float] = field(default_factory=dict, hash=False)
    """Relative error of every quantity of ``numpy_staged`` on one batch; empty where it was not verified."""
