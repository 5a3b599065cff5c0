"""What a worker becomes that serves no Python: another program, or the functions of a compiled homework file.

Descriptor 0 has the requests, 1 goes nowhere, 2 has what is to be kept of the words, ``REPLIES`` the replies.
"""

from __future__ import annotations

import importlib
import os
import signal
import traceback
from typing import Any

REPLIES = 11


def run(program: dict[str, Any], status: int) -> None:
    """Become the program, once everything is confined; ``status`` is closed when it starts.

    ``{"arguments": [...], "environment": {...}, "folder": ...}`` is executed, in that folder; of
    ``{"library": ..., "edition": ...}`` the functions are served from this process. Raises OSError where the program
    can't be started.
    """
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores, and so would whatever it executes
        signal.signal(number, signal.SIG_DFL)
    os.chdir(program.get("folder", "/"))
    if "library" not in program:
        os.set_inheritable(status, False)
        arguments = program["arguments"]
        os.execve(arguments[0], arguments, program["environment"])  # noqa: S606 - its very purpose
    os.close(status)
    try:
        importlib.import_module("child.uw").main(program["library"], program["edition"], REPLIES)
    except BaseException:  # noqa: BLE001 - whatever it is, its last line is the answer
        os.write(2, traceback.format_exc().encode("utf-8", "replace"))
        os._exit(1)
