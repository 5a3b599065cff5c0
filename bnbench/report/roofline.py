"""The fused kernels beside torch's and beside what the memory allows, as Markdown."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from bnbench.model import Environment, Interval, SelfTest
from bnbench.report.selftest import head

OPERATIONS: Mapping[str, str] = {
    "forward_train": "forward, train",
    "forward_eval": "forward, eval",
    "backward": "backward",
}
METHOD = """\
Made by `bnbench kernels --output reports/sample`. torch is its raw kernel (`native_batch_norm` and its
backward), without autograd; `torch_out` writes to given arrays, `torch_channels_last` has images in that
layout, and `torch_compiled` is what torch.compile makes of the kernel. All of one row run in turns in
one process, on the same arrays, which begin on a cache line; `c_fused` and `numba_fused` write to given
arrays. A ratio is torch's time over that of the other: the median over rounds, with its 95 % interval.
The memory's time is that of a copy (forward) or of adding two arrays to a third (backward) of the same
arrays, on as many threads, with or without streaming stores, whichever was faster. Every turn begins
with calls that are not timed, one or, on several threads, those of 20 ms: caches are warm and the
threads of whoever came before asleep."""


DEVICE_METHOD = """\
torch's raw kernels on arrays that lie on the GPU. Times are those between two events that the GPU notes, before
the first call of a turn and after the last; a call is as Python asks for it, so that on small arrays the asking
takes longer than the work. The memory's time is that of a copy or of adding two arrays to a third."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RooflineRow:
    """One shape, dtype, operation and number of threads; every ratio is torch's raw kernel over the other, in turns."""

    shape: tuple[int, ...]
    dtype: str
    operation: str
    threads: int
    seconds: Mapping[str, float]
    """Median time of each: torch, c_fused, plain and streamed (the memory alone), and whatever else ran."""
    ratios: Mapping[str, Interval]
    """torch's time over each one's."""
    fraction: Interval
    """The time that the memory alone takes (plain or streamed, the faster) over that of ``c_fused``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceRow:
    """One shape and operation of torch on a GPU, float32, timed by the GPU's own events."""

    device: str
    shape: tuple[int, ...]
    operation: str
    seconds: Mapping[str, float]
    """Median time of each: torch, memory (a copy, or the sum of two arrays), and whatever else ran."""
    ratios: Mapping[str, Interval]
    """torch's time over each one's."""
    fraction: Interval
    """The time that the memory alone takes over torch's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NumpyRow:
    """How much faster the simplified NumPy layer is than the staged one, float32."""

    shape: tuple[int, ...]
    operation: str
    ratio: Interval


@dataclass(frozen=True, kw_only=True, slots=True)
class AccuracyRow:
    """max |error| / max |value| of y, dx, dgamma and dbeta, float32, on one kind of data."""

    implementation: str
    data: str
    errors: tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Roofline:
    """All that was measured in one process."""

    environment: Environment
    rows: Sequence[RooflineRow] = ()
    device: Sequence[DeviceRow] = ()
    no_device: str = ""
    """Why there are no rows of a GPU, or ""."""
    numpy: Sequence[NumpyRow] = ()
    accuracy: Sequence[AccuracyRow] = ()
    selftest: SelfTest | None = None
    """What the rows are worth."""
    overhead: Mapping[str, float] = field(default_factory=dict)
    """Seconds of one call with NumPy arrays in and given outputs, by what was called."""
    loading: Mapping[str, float] = field(default_factory=dict)
    """Seconds of ``numba_fused``'s load in a new process: "compiled", and "from the cache"."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A geometric mean over all shapes and a floor for each of them."""

    name: str
    value: float
    floor: float = 0.0


RATIO_TARGETS: Mapping[tuple[str, str, int], Target] = {
    ("float32", "forward_train", 1): Target(name="A", value=4.5, floor=1.25),
    ("float32", "backward", 1): Target(name="A", value=2.2, floor=1.15),
    ("float32", "forward_eval", 1): Target(name="A", value=2.1, floor=1.2),
    ("float32", "forward_train", 2): Target(name="A", value=3.7),
    ("float32", "backward", 2): Target(name="A", value=1.9),
    ("float32", "forward_eval", 2): Target(name="A", value=1.7),
    ("float64", "forward_train", 1): Target(name="A", value=2.9),
    ("float64", "backward", 1): Target(name="A", value=2.0),
    ("float64", "forward_eval", 1): Target(name="A", value=1.8),
}
"""What ``c_fused`` is meant to reach against torch's raw kernels, by dtype, operation and threads."""
FRACTION_TARGETS: Mapping[str, Target] = {
    "forward_train": Target(name="B", value=0.62),
    "backward": Target(name="B", value=0.55),
    "forward_eval": Target(name="B", value=0.92),
}
"""Fraction of the memory's speed, float32 on one thread."""
SHAPE_TARGETS: Mapping[tuple[int, ...], Target] = {
    (32, 64, 56, 56): Target(name="B", value=0.84),
    (128, 64, 32, 32): Target(name="B", value=0.80),
}
"""The same of single shapes: float32, forward in train mode, on two threads."""
BEST_TORCH = Target(name="A", value=3.0)
NUMBA_TARGETS: Mapping[str, Target] = {
    "forward_train": Target(name="C", value=2.9),
    "backward": Target(name="C", value=1.5),
}
LOADING = 0.5
"""Seconds in which all of Numba's kernels are to come from the cache."""
NUMPY_TARGETS: Mapping[str, Target] = {
    "forward_train": Target(name="D", value=2.0),
    "backward": Target(name="D", value=5.0),
}
ACCURACY, ACCURACY_WITH_OUTLIER = 1e-6, 5e-6
WIDE = 1.5
"""An interval whose ends are further apart than this factor decides nothing."""


def geometric_mean(values: Iterable[float]) -> float:
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs))


def best_of_torch(row: RooflineRow) -> float:
    """The ratio against the fastest way to have torch do it that was measured."""
    fastest = min(seconds for name, seconds in row.seconds.items() if name.startswith("torch"))
    return fastest / row.seconds["c_fused"]


def roofline_markdown(found: Roofline, figures: Mapping[tuple[str, int], str] = MappingProxyType({})) -> str:
    """The whole page: the targets first, then every row.

    ``figures`` are Markdown, by dtype and number of threads: the charts, where there are files of them.
    """
    environment = found.environment
    versions = ", ".join(f"{name} {version}" for name, version in environment.versions.items())
    machine = f"{environment.created}. {environment.cpu}, {environment.cores} cores, {environment.platform}."
    software = f"bnbench {environment.bnbench}, Python {environment.python}, {versions}."
    parts = [
        "# The fused kernels, torch's and the memory",
        f"{machine}\n{software}\nAllocator: {environment.allocator}.",
        *([head(found.selftest)] if found.selftest else []),
        METHOD,
        "## Targets",
        _table(("", "what", "measured", "target", ""), _targets(found)),
    ]
    for dtype, threads in dict.fromkeys((row.dtype, row.threads) for row in found.rows):
        parts.append(f"## {dtype}, {threads} thread{'s' if threads > 1 else ''}")
        parts += [figures[dtype, threads]] if (dtype, threads) in figures else []
        parts += _by_operation([row for row in found.rows if (row.dtype, row.threads) == (dtype, threads)])
    parts += list(_on_device(found))
    if found.numpy:
        parts += ["## numpy_simplified against numpy_staged, float32", _numpy_table(found.numpy)]
    if found.accuracy:
        parts += ["## Largest error over largest value, float32, (N, 64)", _accuracy_table(found.accuracy)]
    if found.loading:
        rows = [(how, f"{seconds:.2f} s") for how, seconds in found.loading.items()]
        parts += ["## Loading numba_fused in a new process", _table(("its kernels", "time"), rows)]
    if found.overhead:
        rows = [(name, f"{seconds * 1e6:.2f} µs") for name, seconds in found.overhead.items()]
        parts += ["## One call with NumPy arrays", _table(("call", "time"), rows)]
    return "\n\n".join(parts) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _judged(
    target: Target, what: str, value: float, lowest: float = math.inf, *, resolved: bool = True
) -> tuple[str, ...]:
    wanted = f"{target.value:g}" + (f", no shape below {target.floor:g}" if target.floor else "")
    measured = f"{value:.2f}" + (f", lowest {lowest:.2f}" if target.floor else "")
    if not resolved:
        return target.name, what, measured, wanted, "not resolved: other work ran on the cores"
    missed = []
    if not value >= target.value:
        missed.append(f"missed by {1 - value / target.value:.0%}")
    if target.floor and not lowest >= target.floor:
        missed.append(f"floor missed by {1 - lowest / target.floor:.0%}")
    return target.name, what, measured, wanted, ", ".join(missed) or "met"


def _resolved(ratios: Iterable[Interval]) -> bool:
    """Whether most rows know their ratio to within ``WIDE``."""
    return statistics.median(ratio.high / ratio.low for ratio in ratios) <= WIDE


def _targets(found: Roofline) -> Iterator[tuple[str, ...]]:
    for (dtype, operation, threads), target in RATIO_TARGETS.items():
        rows = [r for r in found.rows if (r.dtype, r.operation, r.threads) == (dtype, operation, threads)]
        if rows:
            ratios = [row.ratios["c_fused"].median for row in rows]
            what = f"c_fused against torch, {dtype}, {OPERATIONS[operation]}, threads: {threads}"
            resolved = _resolved(row.ratios["c_fused"] for row in rows)
            yield _judged(target, what, geometric_mean(ratios), min(ratios), resolved=resolved)
    for operation in OPERATIONS:
        single = [r for r in found.rows if (r.dtype, r.operation, r.threads) == ("float32", operation, 1)]
        if single:
            yield from _single_thread_targets(operation, single)
    for row in found.rows:
        if row.shape in SHAPE_TARGETS and (row.dtype, row.operation, row.threads) == ("float32", "forward_train", 2):
            shape = ", ".join(map(str, row.shape))
            what = f"c_fused's fraction of the memory's speed, ({shape}), float32, forward, train, threads: 2"
            yield _judged(SHAPE_TARGETS[row.shape], what, row.fraction.median, resolved=_resolved([row.fraction]))
    for operation, target in NUMPY_TARGETS.items():
        ratios = [row.ratio.median for row in found.numpy if row.operation == operation]
        if ratios:
            what = f"numpy_simplified against numpy_staged, float32, {OPERATIONS[operation]}"
            yield _judged(target, what, geometric_mean(ratios))
    if found.loading:
        seconds = found.loading["from the cache"]
        met = "met" if seconds <= LOADING else f"missed by {seconds / LOADING - 1:.0%}"
        yield (
            "C",
            "seconds until numba_fused's kernels are loaded from the cache",
            f"{seconds:.2f}",
            f"{LOADING:g}",
            met,
        )
    yield from _accuracy_targets(found.accuracy)


def _single_thread_targets(operation: str, rows: Sequence[RooflineRow]) -> Iterator[tuple[str, ...]]:
    title = f"float32, {OPERATIONS[operation]}"
    if operation == "forward_train":
        what = f"c_fused against the best of torch, {title}"
        yield _judged(BEST_TORCH, what, geometric_mean(best_of_torch(row) for row in rows))
    fraction = geometric_mean(row.fraction.median for row in rows)
    yield _judged(FRACTION_TARGETS[operation], f"c_fused's fraction of the memory's speed, {title}", fraction)
    numba = [row.ratios["numba_fused"].median for row in rows if "numba_fused" in row.ratios]
    if numba and operation in NUMBA_TARGETS:
        yield _judged(NUMBA_TARGETS[operation], f"numba_fused against torch, {title}", geometric_mean(numba))


def _accuracy_targets(rows: Sequence[AccuracyRow]) -> Iterator[tuple[str, ...]]:
    for name in ("c_fused", "numba_fused"):
        for limit, title in ((ACCURACY, "all means"), (ACCURACY_WITH_OUTLIER, "a first row of 1e6")):
            errors = [
                error
                for row in rows
                if row.implementation == name and ("first" in row.data) == ("first" in title)
                for error in row.errors
            ]
            if errors:
                met = "met" if all(error <= limit for error in errors) else "missed"
                yield "E", f"largest error of {name}, {title}", f"{max(errors):.1e}", f"{limit:.0e}", met


def _by_operation(rows: Sequence[RooflineRow]) -> Iterator[str]:
    others = ("torch_out", "torch_channels_last", "torch_compiled", "numba_fused")
    for operation, title in OPERATIONS.items():
        chosen = [row for row in rows if row.operation == operation]
        if not chosen:
            continue
        shown = [name for name in others if any(name in row.ratios for row in chosen)]
        head = ("shape", "torch µs", "c_fused µs", "ratio", "memory µs", "fraction", *shown)
        lines = [
            (
                "x".join(map(str, row.shape)),
                _microseconds(row.seconds["torch"]),
                _microseconds(row.seconds["c_fused"]),
                _interval(row.ratios["c_fused"]),
                _microseconds(min(row.seconds["plain"], row.seconds["streamed"])),
                _interval(row.fraction),
                *(_interval(row.ratios[name]) if name in row.ratios else "" for name in shown),
            )
            for row in chosen
        ]
        ratio = geometric_mean(row.ratios["c_fused"].median for row in chosen)
        fraction = geometric_mean(row.fraction.median for row in chosen)
        means = [
            f"{geometric_mean(row.ratios[name].median for row in chosen if name in row.ratios):.2f}" for name in shown
        ]
        lines.append(("geometric mean", "", "", f"{ratio:.2f}", "", f"{fraction:.2f}", *means))
        yield f"### {title.capitalize()}"
        yield _table(head, lines)


def _on_device(found: Roofline) -> Iterator[str]:
    if found.no_device:
        yield "## On a GPU"
        yield f"Skipped: {found.no_device}."
    for device in dict.fromkeys(row.device for row in found.device):
        yield f"## On {device}, float32"
        yield DEVICE_METHOD
        for operation, title in OPERATIONS.items():
            rows = [row for row in found.device if (row.device, row.operation) == (device, operation)]
            if rows:
                yield f"### {title.capitalize()}"
                yield _device_table(rows)


def _device_table(rows: Sequence[DeviceRow]) -> str:
    shown = [name for name in ("torch_out", "torch_channels_last") if any(name in row.ratios for row in rows)]
    lines = [
        (
            "x".join(map(str, row.shape)),
            _microseconds(row.seconds["torch"]),
            _microseconds(row.seconds["memory"]),
            _interval(row.fraction),
            *(_interval(row.ratios[name]) if name in row.ratios else "" for name in shown),
        )
        for row in rows
    ]
    lines.append(
        ("geometric mean", "", "", f"{geometric_mean(row.fraction.median for row in rows):.2f}", *[""] * len(shown))
    )
    return _table(("shape", "torch µs", "memory µs", "fraction", *shown), lines)


def _numpy_table(rows: Sequence[NumpyRow]) -> str:
    operations = tuple(dict.fromkeys(row.operation for row in rows))
    cells = {(row.shape, row.operation): _interval(row.ratio) for row in rows}
    lines = [
        ("x".join(map(str, shape)), *(cells.get((shape, operation), "") for operation in operations))
        for shape in dict.fromkeys(row.shape for row in rows)
    ]
    means = [geometric_mean(r.ratio.median for r in rows if r.operation == operation) for operation in operations]
    lines.append(("geometric mean", *(f"{mean:.2f}" for mean in means)))
    return _table(("shape", *(OPERATIONS[operation] for operation in operations)), lines)


def _accuracy_table(rows: Sequence[AccuracyRow]) -> str:
    lines = [(row.implementation, row.data, *(f"{error:.1e}" for error in row.errors)) for row in rows]
    return _table(("implementation", "data", "y", "dx", "dgamma", "dbeta"), lines)


def _microseconds(seconds: float) -> str:
    return f"{seconds * 1e6:.3g}" if seconds < 1e-3 else f"{seconds * 1e6:.0f}"


def _interval(interval: Interval) -> str:
    return f"{interval.median:.2f} ({interval.low:.2f} to {interval.high:.2f})"
