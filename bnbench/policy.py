"""The process policy: what is settled before anything is timed, and the record of it.

Left alone, the allocator and thread teams differ between implementations, and between two runs of
one implementation, by more than most improvements are worth (docs/benchmarking.md has the figures).
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # bnbench.model imports NumPy, whose BLAS reads the thread variables when it is loaded
    from bnbench.model import Array, Environment, Inputs, Kernel, Outputs

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
)
PACKAGES = ("numpy", "torch", "numba", "pandas", "asv")

# Parameter numbers of mallopt, from glibc's malloc.h.
M_TRIM_THRESHOLD = -1
M_TOP_PAD = -2
M_MMAP_THRESHOLD = -3
MIB = 1 << 20


def settle_process() -> str:
    """Keep freed memory and one thread, for this whole process. Return what the allocator was told.

    Works for libraries that are loaded already and for those that are loaded later; imports none.
    """
    _keep_one_thread()
    return _keep_freed_memory()


def environment(allocator: str = "untouched") -> Environment:
    """On what this process measures. ``allocator`` is what :func:`settle_process` returned."""
    from bnbench import __version__
    from bnbench.model import Environment

    return Environment(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        bnbench=__version__,
        python=platform.python_version(),
        platform=platform.platform(),
        cpu=_cpu(),
        cores=_cores(),
        threads=_threads(),
        allocator=allocator,
        versions={package: found for package in PACKAGES if (found := _version(package))},
    )


def _keep_freed_memory() -> str:
    # By default glibc maps large blocks anew for each call and returns the top of the heap to the
    # kernel: every page of every temporary array is faulted in again, call after call. All three are
    # needed: any one alone turns off the automatic threshold and makes smaller arrays fault as well.
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return "untouched: not glibc"
    mallopt = ctypes.CDLL(None).mallopt
    # glibc before 2.35 refuses more than 32 MiB; the padded top then still serves most larger arrays.
    mapped = mallopt(M_MMAP_THRESHOLD, 1024 * MIB) or mallopt(M_MMAP_THRESHOLD, 32 * MIB)
    trimmed = mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    padded = mallopt(M_TOP_PAD, 256 * MIB)
    if not (mapped and trimmed and padded):
        return "glibc: some thresholds refused"
    return "glibc: mmap and trim thresholds raised"


def _keep_one_thread() -> None:
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    numba = sys.modules.get("numba")
    for variable in THREAD_VARIABLES:
        # Numba raises when its variable changes after its threads were started.
        if variable != "NUMBA_NUM_THREADS" or numba is None:
            os.environ[variable] = "1"
    threadpool_limits(1)
    if numba is not None:
        numba.set_num_threads(1)
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(1)


def with_threads(kernel: Kernel, count: int) -> Kernel:
    """The kernel, run with ``count`` threads for every loaded library that has a pool, and the old number after."""

    def threaded(inputs: Inputs, /, *dys: Array, beside: Inputs | None = None) -> Outputs:
        from threadpoolctl import threadpool_limits

        torch = sys.modules.get("torch")
        before = torch.get_num_threads() if torch is not None else 0
        with threadpool_limits(count):
            try:
                if torch is not None:
                    torch.set_num_threads(count)
                return kernel(inputs, *dys, beside=beside)
            finally:
                if torch is not None:
                    torch.set_num_threads(before)

    return threaded


def _threads() -> int:
    """The largest number of threads that any loaded library would use; pools not loaded count as 1."""
    from threadpoolctl import threadpool_info

    pools: list[int] = [pool["num_threads"] for pool in threadpool_info()]
    libraries: list[int] = [sys.modules[name].get_num_threads() for name in ("torch", "numba") if name in sys.modules]
    return max([1, *pools, *libraries])


def _cpu() -> str:
    """The processor's name, from the kernel where it tells, since py-cpuinfo takes a second."""
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()

    from cpuinfo import get_cpu_info  # type: ignore[import-untyped]

    return str(get_cpu_info().get("brand_raw", "unknown"))


def _cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _version(package: str) -> str:
    """The installed version, without importing the package; "" when it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
