"""The sandbox: where a grader's untrusted code runs."""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Mapping
from typing import Any, Self

from bnbench.sandbox import cgroup
from bnbench.sandbox.limits import Limits, unreadable
from bnbench.sandbox.program import Program
from bnbench.sandbox.tiers import Grant, Isolation, Tier, confinement, probe
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
        self._groups: list[cgroup.Group] = []
        self._running: weakref.WeakSet[Worker | Program] = weakref.WeakSet()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as closing:
            if self.isolation.cgroup:
                cgroup.sweep(cgroup.hierarchy())
            if self.isolation.tier > Tier.T0:
                closing.enter_context(unreadable())
            self._zygote = closing.enter_context(contextlib.closing(Zygote()))
            self._closing = closing.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        for running in list(self._running):
            running.close()
        self._zygote = None
        self._closing.close()
        for group in self._groups:  # of workers that nobody has closed
            if not group.removed:
                group.remove()

    def worker(self, limits: Limits = Limits(), *, readable: tuple[str, ...] = ()) -> Worker:  # noqa: B008 - frozen
        """Start a confined worker, which may read these paths beyond Python and NumPy. Raises SandboxError."""
        zygote = self._opened()
        plan = confinement(self.isolation, limits, self._started, readable)
        group = self._group(limits, plan)
        worker = Worker(zygote, plan, limits, group)
        self._running.add(worker)
        return worker

    def program(self, program: Mapping[str, Any], limits: Limits, grant: Grant) -> Program:
        """Start a program: ``child/program.py``. Its writable folders become its user's. Raises SandboxError."""
        zygote = self._opened()
        plan = confinement(self.isolation, limits, self._started, grant=grant)
        if plan["uid"] is not None:
            for folder in grant.writable:
                os.chown(folder, plan["uid"], plan["uid"])
        group = self._group(limits, plan)
        running = Program(zygote, plan, dict(program), limits, group)
        self._running.add(running)
        return running

    def _opened(self) -> Zygote:
        if self._zygote is None:
            raise SandboxError("the sandbox is not open")
        self._started += 1
        return self._zygote

    def _group(self, limits: Limits, plan: dict[str, Any]) -> cgroup.Group | None:
        """The control group of the next worker, which the plan tells it to enter; None without control groups."""
        if not self.isolation.cgroup:
            return None
        try:
            # A number that no other sandbox of this process uses.
            number = f"{id(self):x}x{self._started}"
            group = cgroup.Group(cgroup.hierarchy(), number, memory=limits.memory, processes=limits.processes)
        except OSError as error:
            raise SandboxError(f"no control group: {error}") from error
        plan["cgroup"] = group.entrances
        self._groups = [other for other in self._groups if not other.removed] + [group]
        return group
