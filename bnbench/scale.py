"""What verifying costs as the data grows, and what a full numeric dx costs beside the textbook loop.

``bnbench scale`` prints the page. Every row of the first table is measured in a process of its own, so that its
peak is nobody else's.
"""

from __future__ import annotations

import math
import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np

from bnbench.blocks import to_blocks
from bnbench.cases import case_id, draw, draw_cotangent, elements
from bnbench.checks import ALL_CHECKS
from bnbench.differences import compressed_dx, directional_deviation
from bnbench.figures import textbook_differences
from bnbench.kernels import BatchKernel, Point, bound, local_kernel
from bnbench.model import Array, Case, Environment, Forward, Implementation, Inputs, Outputs, Status
from bnbench.reference import normalize
from bnbench.registry import discover
from bnbench.report.scale import DxRow, Method, Scale, ScaleRow
from bnbench.runner import execute, load, plan

SHAPES: tuple[tuple[int, ...], ...] = ((64, 64), (1024, 64), (8192, 64), (65536, 64), (32, 64, 56, 56))
DX_SHAPES = ((4, 5), (16, 32), (64, 128), (128, 512))
QUICK_SHAPES, QUICK_DX_SHAPES = SHAPES[:3], DX_SHAPES[:3]
NAMES = ("numpy_simplified", "c_fused")
WARM = Case(shape=(9, 5))
REPEATS = 5
"""Of everything but the textbook loop, which has thousands of repetitions in itself; the fastest counts."""

Progress = Callable[[int, int, str], None]


def measure_scale(
    environment: Environment,
    *,
    names: Sequence[str] = NAMES,
    plugins: Sequence[Path] = (),
    shapes: Sequence[tuple[int, ...]] = SHAPES,
    dx_shapes: Sequence[tuple[int, ...]] = DX_SHAPES,
    progress: Progress,
) -> Scale:
    """Measure both tables, in float64 and train mode.

    ``names`` are available implementations of batch norm, those in ``plugins`` among them.

    Raises RuntimeError when a process that measures dies: most likely there was not memory enough.
    """
    steps = [*((name, shape) for name in names for shape in shapes), *((n, s) for n in names for s in dx_shapes)]
    rows: list[ScaleRow] = []
    dx: list[DxRow] = []
    for done, (name, shape) in enumerate(steps):
        case = Case(shape=shape)
        of_dx = done >= len(names) * len(shapes)
        progress(done, len(steps), f"{name}, {case_id(case)}{', dx' if of_dx else ''}")
        if of_dx:
            dx.append(full_dx(discover(plugins).implementations[name], case))
        else:
            rows.append(_alone(partial(verification, name, plugins, case)))
    progress(len(steps), len(steps), "")
    return Scale(environment=environment, rows=tuple(rows), dx=tuple(dx))


def verification(name: str, plugins: Sequence[Path], case: Case) -> ScaleRow:
    """Every check on one case, in this process: meant to be called in a fresh one, whose peak is the row's."""
    import resource

    [subject] = load([discover(plugins).implementations[name]]).subjects
    kernel = _Counting(cast("BatchKernel", subject.kernel))
    counted = [replace(subject, kernel=kernel)]
    list(execute(plan(counted, [WARM], ALL_CHECKS), counted))  # imports and compiles what there is to
    kernel.calls = 0
    tasks = plan(counted, [case], ALL_CHECKS)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    findings = list(execute(tasks, counted))
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return ScaleRow(
        implementation=name,
        shape=case.shape,
        checks=sum(finding.status is not Status.SKIPPED for finding in findings),
        passed=all(finding.status in (Status.PASSED, Status.SKIPPED) for finding in findings),
        evaluations=kernel.calls,
        seconds=seconds,
        peak=peak * 1024 / draw(case).x.nbytes,
    )


def full_dx(implementation: Implementation, case: Case) -> DxRow:
    """Every element of dx numerically, by the textbook loop and compressed by rows, and BN301's verdict.

    All take turns in this process and are counted in its processor time.
    """
    forward = cast("Forward", implementation.load())
    kernel = local_kernel(forward)
    inputs, dy = draw(case), draw_cotangent(case)
    exact = normalize(inputs, dy).gradients[0].dx
    positions = np.arange(elements(case))

    def compressed(levels: int) -> Array:
        return compressed_dx(kernel, inputs, dy, positions, levels=levels)

    def error(blocks: Array) -> float:
        return float(np.abs(blocks - to_blocks(exact, "batch")).max() / np.abs(exact).max())

    ways: dict[str, Callable[[], Any]] = {
        "compressed": partial(compressed, 1),
        "sixth order": partial(compressed, 3),
        "verdict": lambda: directional_deviation(kernel, inputs, dy, np.random.default_rng(0)),
    }
    seconds = dict.fromkeys(ways, math.inf)
    results: dict[str, Any] = {}

    def turn() -> None:
        for name, way in ways.items():
            spent, results[name] = _timed(way)
            seconds[name] = min(seconds[name], spent)

    for _ in range(REPEATS // 2):
        turn()
    loop_seconds, loop = _timed(partial(_textbook, forward, inputs, dy))
    for _ in range(REPEATS - REPEATS // 2):
        turn()
    size, rows = inputs.x.size, len(positions)
    return DxRow(
        implementation=implementation.name,
        shape=case.shape,
        methods=(
            Method(
                name="textbook loop", seconds=loop_seconds, evaluations=2 * size, error=error(to_blocks(loop, "batch"))
            ),
            Method(
                name="compressed, 2nd order",
                seconds=seconds["compressed"],
                evaluations=2 * rows,
                error=error(results["compressed"]),
            ),
            Method(
                name="compressed, 6th order",
                seconds=seconds["sixth order"],
                evaluations=6 * rows,
                error=error(results["sixth order"]),
            ),
            Method(name="verdict of BN301", seconds=seconds["verdict"], evaluations=40, error=None),
        ),
    )


def _textbook(forward: Forward, inputs: Inputs, dy: Array) -> Array:
    def y(x: Array) -> Array:
        answer: Array = bound(forward, replace(inputs, x=x))()[0]
        return answer

    return textbook_differences(y, inputs.x, dy)


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    result = call()
    return time.process_time() - start, result


def _alone(measure: Callable[[], ScaleRow]) -> ScaleRow:
    """Measure in a fresh process. Raises RuntimeError where it dies."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(theirs, measure), daemon=True)
    process.start()
    theirs.close()  # or its end would never be noticed
    try:
        row: ScaleRow = ours.recv()
    except EOFError as error:
        process.join()
        died = f"the process that measures ended with code {process.exitcode}; too little memory?"
        raise RuntimeError(died) from error
    process.join()
    return row


def _send(connection: Any, measure: Callable[[], ScaleRow]) -> None:
    connection.send(measure())


class _Counting:
    """A kernel that counts how often the forward is called."""

    def __init__(self, kernel: BatchKernel) -> None:
        self._kernel = kernel
        self.calls = 0

    def __call__(self, inputs: Inputs, /, *dys: Array, beside: Inputs | None = None) -> Outputs:
        self.calls += 1
        return self._kernel(inputs, *dys, beside=beside)

    def batch(self, points: Iterable[Point], /) -> Iterator[Outputs]:
        for outputs in self._kernel.batch(points):
            self.calls += 1
            yield outputs
