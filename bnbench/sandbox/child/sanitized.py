"""The functions of a file compiled with sanitizers, in a program of its own: their library must be loaded before all.

Run as ``sanitized.py LIBRARY EDITION REPLIES FILTER``: the process, confined already but for the system calls that
starting a program takes, gives those up before it loads the file.
"""

# ruff: noqa: PTH100, PTH120 - paths as Python gives them

from __future__ import annotations

import importlib
import os
import sys

if __name__ == "__main__":
    sys.path.append(os.path.dirname(os.path.abspath(__file__)))  # its parent can't be listed, so there is no package
    confine = importlib.import_module("confine")
    uw = importlib.import_module("uw")
    if sys.argv[4]:
        confine.seccomp(sys.argv[4])
    uw.main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
