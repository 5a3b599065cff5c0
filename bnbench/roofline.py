"""How near the fused kernels come to the memory's own speed, and how far they are from torch's kernels.

``bnbench kernels`` prints the page. Call :func:`bnbench.policy.settle_process` first.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import timeit
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any, cast

import numpy as np

from bnbench.device import device_rows
from bnbench.model import Array, Case, Environment, Forward, Implementation, Inputs, SelfTest
from bnbench.reference import normalize
from bnbench.registry import Registry
from bnbench.report.roofline import AccuracyRow, NumpyRow, Roofline, RooflineRow
from bnbench.selftest import PLANTED, against_itself, boundary, spread, system_load
from bnbench.timing import OPERATIONS, Operation, aligned, aligned_draw, bind, operation_case, ratio_in, time_operation
from bnbench.torch_binds import torch_binds
from bnbench.turns import EPOCH, Bind, in_turns

SHAPES: tuple[tuple[int, ...], ...] = (
    (64, 128),
    (128, 512),
    (256, 1024),
    (1024, 1024),
    (4096, 1024),
    (128, 8192),
    (65536, 64),
    (32, 64, 56, 56),
    (128, 64, 32, 32),
    (16, 256, 14, 14),
    (8, 3, 224, 224),
)
"""From the nearest cache to four times the last, by rows and by planes."""
SETTINGS = (("float32", 1), ("float64", 1), ("float32", 2))
WARM_UP = 0.02
"""Seconds before each turn of several threads: OpenMP's idle threads keep a core busy for some milliseconds, and
its first call after a rest waits for them for as long."""
WARM_EPOCH = 2e-3
"""Seconds of a turn that was warmed up for so long."""
BUDGET = 0.15
"""Seconds for each function of a row."""
DATA: Mapping[str, tuple[float, float, float]] = {
    "mean 0, variance 1": (0.0, 1.0, 0.0),
    "mean 1e3, variance 1": (1e3, 1.0, 0.0),
    "mean 1e4, variance 1e-2": (1e4, 0.1, 0.0),
    "mean 1e6, variance 1": (1e6, 1.0, 0.0),
    "first row 1e6": (0.0, 1.0, 1e6),
}
"""Mean, standard deviation and, if not 0, the value of the first row."""
BEST_OF_TORCH = ("float32", "forward_train", 1)
"""Dtype, operation and threads of the rows where all that torch can do is compared."""
MEASURED = ("torch_native", "numpy_staged", "numpy_simplified", "numba_fused", "c_fused")

Progress = Callable[[int, int, str], None]


def roofline(
    registry: Registry,
    environment: Environment,
    *,
    shapes: Sequence[tuple[int, ...]] = SHAPES,
    settings: Sequence[tuple[str, int]] = SETTINGS,
    budget: float = BUDGET,
    compiling: bool = True,
    progress: Progress,
) -> Roofline:
    """Measure everything. ``settings`` are pairs of a dtype and a number of threads.

    ``compiling`` adds what takes seconds to compile: torch.compile for each shape, where ``c_fused`` is compared
    with the best that torch can do, and numba_fused in a new process, without a cache and with one.

    Raises RuntimeError when torch or the C extension is missing: there would be nothing to compare.
    """
    for name in ("torch_native", "c_fused"):
        if reason := registry.missing(registry.implementations[name]):
            raise RuntimeError(f"{name}: {reason}")
    # OpenMP's second thread is otherwise often woken on the core of the first, which waits for it there: 8 ms in
    # a call of 80 µs. It reads this when torch is loaded, and then binds the calling thread to one core, so that
    # what needs to know all of them is loaded before.
    os.environ.setdefault("OMP_PROC_BIND", "true")
    # Compile in this process: idle workers would be someone else on the cores.
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
    registry.implementations["c_fused"].load()
    available = {
        name: implementation
        for name, implementation in registry.implementations.items()
        if name in MEASURED and not registry.missing(implementation)
    }
    compiling_torch = compiling and not registry.missing(registry.implementations["torch_compiled"])
    wanted = [(shape, dtype, op, threads) for dtype, threads in settings for op in OPERATIONS for shape in shapes]
    no_device = registry.missing(registry.implementations["torch_cuda"])
    before = system_load()
    rows = []
    for number, (shape, dtype, operation, threads) in enumerate(wanted):
        progress(number, len(wanted), f"{operation} {dtype} {'x'.join(map(str, shape))}, threads: {threads}")
        rows.append(_row(available, shape, dtype, operation, threads, budget, compiling=compiling_torch))
    numpy = [_numpy_row(available, shape, operation, budget) for operation in OPERATIONS[::2] for shape in shapes]
    return Roofline(
        environment=environment,
        selftest=_selftest(available["c_fused"], shapes, budget, before),
        rows=rows,
        device=[] if no_device else list(device_rows(shapes, budget=budget)),
        no_device=no_device,
        numpy=numpy,
        accuracy=list(_accuracy(available)),
        overhead=_overhead(available["c_fused"]),
        loading=_loading() if compiling and "numba_fused" in available else {},
    )


def _selftest(
    implementation: Implementation, shapes: Sequence[tuple[int, ...]], budget: float, before: tuple[float, ...]
) -> SelfTest:
    """``c_fused`` against itself, one row for each size."""
    forward = implementation.load()
    wanted = spread([(Case(shape=shape, dtype="float32"), "forward_train") for shape in shapes], functions=0)
    rows = tuple(against_itself("c_fused", forward, row, takes_out=True, budget=budget) for row in wanted)
    return SelfTest(rows=rows, planted=PLANTED, boundary=boundary(), load=(*before, *system_load()))


def _row(
    available: Mapping[str, Implementation],
    shape: tuple[int, ...],
    dtype: str,
    operation: Operation,
    threads: int,
    budget: float,
    *,
    compiling: bool,
) -> RooflineRow:
    import torch

    case = operation_case(Case(shape=shape, dtype=dtype), operation)
    inputs, dy = aligned_draw(case)
    binds = torch_binds(inputs, dy, operation)
    binds["c_fused"] = _threaded(available["c_fused"], inputs, dy, operation, threads)
    if threads == 1 and "numba_fused" in available:
        numba = cast("Forward", available["numba_fused"].load())
        binds["numba_fused"] = partial(bind, numba, inputs, dy, operation, takes_out=True)
    binds |= _memory_binds(inputs.x, dy, operation, threads)

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        if compiling and (dtype, operation, threads) == BEST_OF_TORCH:
            binds["torch_compiled"] = _compiled_bind(inputs)
        warm_up, epoch = (WARM_UP, WARM_EPOCH) if threads > 1 else (0.0, EPOCH)
        turns = in_turns(binds, budget=budget, warm_up=warm_up, epoch=epoch)
    finally:
        torch.set_num_threads(before)
    seconds = {name: turns.median(name) for name in binds}
    memory = min(("plain", "streamed"), key=seconds.__getitem__)
    return RooflineRow(
        shape=shape,
        dtype=dtype,
        operation=operation,
        threads=threads,
        seconds=seconds,
        ratios={name: ratio_in(turns, "torch", name) for name in binds},
        fraction=ratio_in(turns, memory, "c_fused"),
    )


def _compiled_bind(inputs: Inputs) -> Bind:
    """torch's kernel as torch.compile makes it for this very shape; compiled here, not when it is timed."""
    import torch

    def forward(x: Any, gamma: Any, beta: Any, mean: Any, var: Any) -> object:
        options = inputs.options
        return torch.native_batch_norm(x, gamma, beta, mean, var, options.training, options.momentum, options.eps)

    torch.compiler.reset()  # else it would give up after some shapes
    compiled = torch.compile(forward, dynamic=False)
    arrays = (inputs.x, inputs.gamma, inputs.beta, inputs.running_mean.copy(), inputs.running_var.copy())
    call = partial(compiled, *map(torch.from_numpy, arrays))
    call()
    return lambda: call


def _threaded(implementation: Implementation, inputs: Inputs, dy: Array, operation: Operation, threads: int) -> Bind:
    """``c_fused`` on so many threads, which its protocol does not know."""
    forward = cast("Forward", implementation.load())
    if threads > 1:
        forward = cast("Forward", partial(cast("Callable[..., Any]", forward), threads=threads))
    return partial(bind, forward, inputs, dy, operation, takes_out=True)


def _memory_binds(x: Array, dy: Array, operation: Operation, threads: int) -> dict[str, Bind]:
    """What only moves as many bytes."""
    extension = import_module("bnbench.implementations.c_fused._c_fused")
    copy, triad = extension.copy, extension.triad

    def bound(*, streaming: bool) -> Callable[[], object]:
        to = aligned(x)
        if operation == "backward":
            return lambda: triad(x, dy, to, streaming=streaming, threads=threads)
        return lambda: copy(x, to, streaming=streaming, threads=threads)

    return {"plain": partial(bound, streaming=False), "streamed": partial(bound, streaming=True)}


def _numpy_row(
    available: Mapping[str, Implementation], shape: tuple[int, ...], operation: Operation, budget: float
) -> NumpyRow:
    forwards = {name: available[name].load() for name in ("numpy_staged", "numpy_simplified")}
    case = Case(shape=shape, dtype="float32")
    _, simplified = time_operation(forwards, case, operation, baseline="numpy_staged", budget=budget)
    return NumpyRow(shape=shape, operation=operation, ratio=simplified.ratio)


def _accuracy(available: Mapping[str, Implementation]) -> Iterator[AccuracyRow]:
    generator = np.random.default_rng(0)
    for rows in (1024, 65536):
        for data, (mean, sd, first) in DATA.items():
            x = (mean + sd * generator.standard_normal((rows, 64))).astype(np.float32)
            if first:
                x[0] = first
            dy = generator.standard_normal(x.shape).astype(np.float32)
            one, zero = np.ones(64, np.float32), np.zeros(64, np.float32)
            options = Case(shape=x.shape).options
            inputs = Inputs(x=x, gamma=one, beta=zero, running_mean=zero, running_var=one, options=options)
            right = normalize(inputs, dy)
            for name, implementation in available.items():
                forward = cast("Forward", implementation.load())
                y, _, vjp = forward(x, one, zero, zero, one, training=True, eps=options.eps, momentum=options.momentum)
                pairs = zip((y, *vjp(dy)), (right.y, *right.gradients[0]), strict=True)
                errors = [float(np.max(np.abs(a - b)) / np.max(np.abs(b))) for a, b in pairs]
                yield AccuracyRow(
                    implementation=name,
                    data=f"{data}, N = {rows}",
                    errors=(errors[0], errors[1], errors[2], errors[3]),
                )


def _loading() -> dict[str, float]:
    """Seconds of ``numba_fused``'s load in a new process that has imported Numba: without a cache, and with one."""
    code = (
        "import time, numba, numba.np.arrayobj\n"
        "from bnbench.implementations.numba_fused import implementation\n"
        "start = time.perf_counter()\n"
        "implementation.load()\n"
        "print(time.perf_counter() - start)"
    )
    with tempfile.TemporaryDirectory() as cache:
        command, environment = [sys.executable, "-c", code], os.environ | {"NUMBA_CACHE_DIR": cache}
        times = [
            float(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)  # noqa: S603
            for _ in range(4)
        ]
    return {"compiled": times[0], "from the cache": min(times[1:])}


def _overhead(implementation: Implementation) -> dict[str, float]:
    """The fastest of several runs of small calls, in seconds: what a call costs, whatever it computes."""
    found = {}
    for shape in ((4, 5), (64, 128)):
        inputs, dy = aligned_draw(Case(shape=shape, dtype="float32"))
        for operation in OPERATIONS[::2]:
            call = bind(implementation.load(), inputs, dy, operation, takes_out=True)
            name = f"c_fused {operation} {'x'.join(map(str, shape))} float32"
            found[name] = min(timeit.repeat(call, number=2000, repeat=15)) / 2000
    return found
