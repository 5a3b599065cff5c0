"""The sandbox: where a grader's untrusted code runs."""

from __future__ import annotations

import contextlib
import weakref
from typing import Self

from bnbench.sandbox.limits import Limits, unreadable
from bnbench.sandbox.tiers import Isolation, Tier, confinement, probe
from bnbench.sandbox.worker import Worker
from bnbench.sandbox.zygote import SandboxError, Zygote


class Sandbox:
    r"""Workers under one isolation, for one thread of the grader; a context manager that leaves no process behind.

    >>> with Sandbox() as sandbox, sandbox.worker() as worker:
    ...     contents = worker.load("def double(x):\n    return 2 * x", "layers.py")
    ...     worker.call("double", 21.0).values
    (42.0,)
    """

    def __init__(self, isolation: Isolation | None = None) -> None:
        self.isolation = probe() if isolation is None else isolation
        """What stands in each result: the strongest that this system has, or what was asked for."""
        self._closing = contextlib.ExitStack()
        self._zygote: Zygote | None = None
        self._started = 0
        self._workers: weakref.WeakSet[Worker] = weakref.WeakSet()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as closing:
            if self.isolation.tier > Tier.T0:
                closing.enter_context(unreadable())
            self._zygote = closing.enter_context(contextlib.closing(Zygote()))
            self._closing = closing.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        for worker in list(self._workers):
            worker.close()
        self._zygote = None
        self._closing.close()

    def worker(self, limits: Limits = Limits(), *, readable: tuple[str, ...] = ()) -> Worker:  # noqa: B008 - frozen
        """Start a confined worker, which may read these paths beyond Python and NumPy. Raises SandboxError."""
        if self._zygote is None:
            raise SandboxError("the sandbox is not open")
        self._started += 1
        worker = Worker(self._zygote, confinement(self.isolation, limits, self._started, readable), limits)
        self._workers.add(worker)
        return worker
