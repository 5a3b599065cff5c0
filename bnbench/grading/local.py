"""Grading on this machine: processes beside each other, each of which may die without harm to the others."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TypeAlias

from bnbench.grading.model import Grade
from bnbench.grading.tokens import token_hash

Work: TypeAlias = Callable[[bytes, str], Grade]
"""Grade these bytes, handed in under this name. It must be possible to pickle it."""

SECONDS = 600.0
"""Wall time after which a grading process counts as hanging: the submission's own limits are far below."""
TIDYING = 10.0
"""Seconds that a process has to end by itself."""
TRIES = 2
"""How often a submission is tried whose grading process died: memory may have been short for one moment."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One file to grade."""

    digest: str
    data: bytes
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """What came of a job: a grade, or why there is none."""

    job: Job
    grade: Grade | None = None
    trouble: str = ""
    tokens: str = ""
    """:func:`~bnbench.grading.tokens.token_hash` of the source."""


def grade_here(jobs: Iterable[Job], work: Work, *, processes: int, seconds: float = SECONDS) -> Iterator[Done]:
    """Grade in so many processes, yielding in the order of completion.

    A process that dies, or hangs for longer than ``seconds``, costs its own submission one of its two tries. Processes
    are started afresh (spawned), so that they hold nothing of this one, and end with it.
    """
    waiting = deque((job, 1) for job in jobs)
    workers: dict[Connection, _Worker] = {}
    try:
        while waiting or any(worker.job is not None for worker in workers.values()):
            busy = sum(worker.job is not None for worker in workers.values())
            while len(workers) < min(processes, busy + len(waiting)):
                worker = _start(work)
                workers[worker.connection] = worker
            for worker in workers.values():
                if worker.job is None and waiting:
                    worker.give(*waiting.popleft(), deadline=time.monotonic() + seconds)
            yield from _answers(workers, waiting, seconds)
    finally:
        _end_all(workers.values())


def attempt(work: Work, job: Job) -> Done:
    """Do a job where it is called; whatever the grader raises is its trouble, in words."""
    try:
        grade, trouble = work(job.data, job.name), ""
    except Exception as error:  # noqa: BLE001 - of the grader, and not the class's
        grade, trouble = None, f"the grader raised {type(error).__name__}: {error}"[:500]
    return Done(job=job, grade=grade, trouble=trouble, tokens=token_hash(job.data, job.name))


@dataclass(kw_only=True, slots=True)
class _Worker:
    process: BaseProcess
    connection: Connection
    job: Job | None = None
    tried: int = 0
    deadline: float = 0.0

    def give(self, job: Job, tried: int, deadline: float) -> None:
        self.job, self.tried, self.deadline = job, tried, deadline
        with suppress(OSError):  # it is dead already, which its connection will tell
            self.connection.send(job)

    def dismiss(self) -> None:
        """Let the process end by itself, so that it can tidy up; without a job it waits for one or for this."""
        if self.job is None:
            self.connection.close()

    def end(self) -> None:
        if self.job is None:
            self.process.join(timeout=TIDYING)
        self.process.kill()
        self.process.join()
        self.process.close()
        self.connection.close()


def _end_all(workers: Collection[_Worker]) -> None:
    for worker in workers:
        worker.dismiss()
    for worker in workers:
        worker.end()


def _start(work: Work) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, work), daemon=False)
    process.start()
    theirs.close()  # or its end would never be noticed
    return _Worker(process=process, connection=ours)


def _serve(connection: Connection, work: Work) -> None:
    """In the other process: answer until the grader is gone."""
    # Ctrl-C reaches the whole group; the grader decides what it means. Not ignored, which programs would inherit.
    signal.signal(signal.SIGINT, lambda *_: None)
    with suppress(EOFError, OSError):
        while True:
            connection.send(attempt(work, connection.recv()))


def _answers(workers: dict[Connection, _Worker], waiting: deque[tuple[Job, int]], seconds: float) -> Iterator[Done]:
    """Wait for something to happen, and say what: answers, deaths, missed deadlines."""
    busy = [worker for worker in workers.values() if worker.job is not None]
    patience = max(min(worker.deadline for worker in busy) - time.monotonic(), 0.0)
    ready = set(wait([worker.connection for worker in busy], timeout=patience))
    for worker in busy:
        job = worker.job
        if job is None:
            continue
        if worker.connection in ready:
            try:
                done: Done = worker.connection.recv()
            except (EOFError, OSError):
                worker.process.join()
                trouble = _death(worker.process.exitcode)
            else:
                worker.job = None
                yield done
                continue
        elif time.monotonic() < worker.deadline:
            continue
        else:
            trouble = f"grading took longer than {seconds:g} s"
        del workers[worker.connection]
        worker.end()
        if worker.tried < TRIES:
            waiting.append((job, worker.tried + 1))
        else:
            yield Done(job=job, trouble=f"{trouble}, {worker.tried} times")


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        names: Mapping[int, str] = {s.value: s.name for s in signal.Signals}
        return f"the grading process died by signal {names.get(-code, str(-code))}"
    return f"the grading process ended with exit code {code}"
