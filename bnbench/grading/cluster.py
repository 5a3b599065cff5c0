"""Grading on other machines: the workers of a Dask cluster, which may come and go."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from bnbench.grading.local import Done, Job, Work, attempt


class SchedulerError(RuntimeError):
    """No Dask, no scheduler at the address, or it went away, or its workers are not these bnbench."""


def grade_on_cluster(jobs: Iterable[Job], work: Work, *, address: str) -> Iterator[Done]:
    """Grade on the workers of the scheduler at ``address``, yielding in the order of completion.

    Dask moves the work of a worker that dies to another one, and gives up on a submission that took several workers
    with it. Submissions and ``work`` travel pickled to the workers: they are the grader's own machines, and the
    submission runs in their sandbox. Raises SchedulerError; what was yielded before stands.
    """
    try:
        from distributed import Client, KilledWorker, as_completed
        from distributed.client import FutureCancelledError
    except ImportError as error:
        raise SchedulerError(f"Dask is not installed: pip install 'bnbench[dask]' ({error})") from error

    try:
        client: Any = Client(address, timeout="10s", set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise SchedulerError(f"no Dask scheduler answers at {address}: {error}") from error
    with client:
        _same_version(client)
        # pure=False: what the scheduler remembers of another run is none of this one's.
        futures = {client.submit(attempt, work, job, pure=False): job for job in jobs}
        for future in as_completed(futures, loop=client.loop):  # type: ignore[no-untyped-call]
            job = futures.pop(future)
            try:
                done = future.result()
            except KilledWorker as error:
                done = Done(job=job, trouble=f"every worker that graded it died: {error}"[:500])
            except FutureCancelledError as error:
                raise SchedulerError(f"the Dask scheduler at {address} went away; resume when it is back") from error
            except Exception as error:  # noqa: BLE001 - work that can't be pickled, or imported there
                done = Done(job=job, trouble=f"the worker failed with {type(error).__name__}: {error}"[:500])
            future.release()
            yield done


def _same_version(client: Any) -> None:
    """Refuse workers of another bnbench before they grade: their grades would not be of this run's key."""
    from bnbench import __version__

    try:
        versions = client.run(_version)
    except Exception as error:
        raise SchedulerError(f"a Dask worker can't import bnbench: {type(error).__name__}: {error}") from error
    others = sorted(f"{worker} has {version}" for worker, version in versions.items() if version != __version__)
    if others:
        raise SchedulerError(f"bnbench {__version__} is needed on every worker; {'; '.join(others)}")


def _version() -> str:
    from bnbench import __version__

    return __version__
