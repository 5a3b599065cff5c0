"""torch's kernels on an NVIDIA GPU, timed by the GPU itself, beside what its memory allows.

A call from Python only asks the GPU for work. What is timed is the work: from an event that the GPU notes
before the first call of a turn to one that it notes after the last, where both have been waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from bnbench.model import Case
from bnbench.report.roofline import DeviceRow
from bnbench.timing import OPERATIONS, aligned_draw, operation_case, ratio_in
from bnbench.torch_binds import torch_binds
from bnbench.turns import Bind, in_turns

EPOCH = 5e-3
"""Seconds of a turn: long against the ten microseconds in which the GPU starts with what it is asked for."""


class DeviceClock:
    """Nanoseconds on the GPU's own time line: a :data:`bnbench.turns.Clock`.

    A reading waits until everything that was asked of the GPU before is done. ``event`` makes what it
    notes: ``torch.cuda.Event(enable_timing=True)``, or whatever has the same three methods.
    """

    def __init__(self, event: Callable[[], Any]) -> None:
        self._event = event
        self._nanoseconds = 0.0
        self._last = self._noted()

    def __call__(self) -> int:
        now = self._noted()
        # From one reading to the next: milliseconds since the first would be too coarse as a 32-bit float.
        self._nanoseconds += self._last.elapsed_time(now) * 1e6
        self._last = now
        return round(self._nanoseconds)

    def _noted(self) -> Any:
        event = self._event()
        event.record()
        event.synchronize()
        return event


def device_rows(shapes: Sequence[tuple[int, ...]], *, budget: float) -> Iterator[DeviceRow]:
    """Every operation at every shape, float32, as torch does it on the GPU that it uses by default.

    ``budget`` is in seconds for each function of a row. Raises what torch raises where there is no GPU.
    """
    import torch

    clock = DeviceClock(partial(torch.cuda.Event, enable_timing=True))
    for operation in OPERATIONS:
        for shape in shapes:
            inputs, dy = aligned_draw(operation_case(Case(shape=shape, dtype="float32"), operation))
            binds = torch_binds(inputs, dy, operation, "cuda")
            x, g = (torch.from_numpy(a).to("cuda") for a in (inputs.x, dy))
            to = torch.empty_like(x)
            moved: Callable[[], object] = (
                partial(torch.add, x, g, out=to) if operation == "backward" else partial(to.copy_, x)
            )
            turns = in_turns({**binds, "memory": _bind_of(moved)}, budget=budget, epoch=EPOCH, clock=clock)
            yield DeviceRow(
                device=torch.cuda.get_device_name(),
                shape=shape,
                operation=operation,
                seconds={name: turns.median(name) for name in turns.times},
                ratios={name: ratio_in(turns, "torch", name) for name in binds},
                fraction=ratio_in(turns, "memory", "torch"),
            )


def _bind_of(call: Callable[[], object]) -> Bind:
    return lambda: call
