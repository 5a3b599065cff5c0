"""How much memory a process and all that it has started hold: for those that no limit of the kernel's bounds."""

# ruff: noqa: PTH123 - paths as the kernel gives them

from __future__ import annotations

import contextlib
import os

PAGE = os.sysconf("SC_PAGE_SIZE")


def resident(pid: int) -> int:
    """Resident bytes of a process and of its descendants, pages that they share counted for each; 0 when it is gone.

    A descendant whose parent has ended is not found from here.
    """
    total, todo = 0, [pid]
    while todo:
        process = todo.pop()
        with contextlib.suppress(OSError):  # it may end at any time
            with open(f"/proc/{process}/statm") as file:
                total += PAGE * int(file.read().split()[1])
            for thread in os.listdir(f"/proc/{process}/task"):  # noqa: PTH208 - names are enough
                with open(f"/proc/{process}/task/{thread}/children") as file:
                    todo += map(int, file.read().split())
    return total
