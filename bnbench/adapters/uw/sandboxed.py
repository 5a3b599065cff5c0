"""A stranger's homework file in C: the compiler and the compiled functions in a sandbox.

    with Sandbox() as sandbox:
        compiled = compile_uw(source, folder, compiler=find_compiler(), run=compiler_in(sandbox))
        diagnoses = diagnose_compiled(compiled, launch=stages_in(sandbox))
        sanitized = compile_uw(..., sanitize=True, run=compiler_in(sandbox))
        findings = find_memory_errors(sanitized, launch=stages_in(sandbox))

The functions are served by a worker, to which no other program is left; a sanitized file by a Python of its own, which
gives up starting programs before it loads the file.
"""

from __future__ import annotations

import base64
import os
import platform
import shutil
import sys
import sysconfig
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from bnbench.adapters.uw.compiler import Compiled, RunCompiler
from bnbench.adapters.uw.process import SANITIZER_OPTIONS, Child, Launch
from bnbench.sandbox import seccomp
from bnbench.sandbox.build import SYSTEM, build
from bnbench.sandbox.child import sanitized as sanitized_child
from bnbench.sandbox.child.program import REPLIES
from bnbench.sandbox.host import Sandbox
from bnbench.sandbox.limits import Limits
from bnbench.sandbox.tiers import Grant, granted

STAGES = Limits(cpu=30.0, memory=1 << 30)
"""Of a process that serves the functions; each call has a deadline of its own."""


def compiler_in(sandbox: Sandbox) -> RunCompiler:
    """What ``compile_uw(run=...)`` takes. Raises SandboxError where the compiler can't be started."""
    return partial(build, sandbox)


def stages_in(sandbox: Sandbox, limits: Limits = STAGES) -> Launch:
    """What ``open_stages``, ``diagnose_compiled`` and ``find_memory_errors`` take as ``launch``.

    It raises SandboxError where a process can't be confined or started; for a sanitized file also where Python lies in
    a folder that the worker's user may not enter, and there are no namespaces (root's home, at T1 and T2).
    """
    return partial(_Confined, sandbox, limits)


class _Confined(Child):
    """The functions of a compiled file, served from the sandbox."""

    def __init__(self, sandbox: Sandbox, limits: Limits, compiled: Compiled) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="bnbench-"))
        try:
            self._folder.chmod(0o755)
            library = self._folder / compiled.library.name
            library.write_bytes(compiled.library.read_bytes())
            library.chmod(0o644)
            start = _sanitized if compiled.preload else _served
            program, grant = start(sandbox, compiled, str(library))
            self._program = sandbox.program(program, limits, grant)
        except BaseException:
            shutil.rmtree(self._folder)
            raise
        self.requests, self.replies = self._program.requests, self._program.replies

    def wait(self, seconds: float) -> int | None:
        ended = self._program.wait(seconds)
        return None if ended is None else -ended.signal or ended.code

    def words(self, most: int) -> bytes:
        words = self._program.words(most)
        return words + b"out of memory\n" if self._program.out_of_memory else words

    def close(self) -> None:
        self._program.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _served(_: Sandbox, compiled: Compiled, library: str) -> tuple[dict[str, Any], Grant]:
    """The functions in the worker itself."""
    readable = (*granted()[0], *SYSTEM, library)  # of the system for the libraries of C
    return {"library": library, "edition": compiled.edition}, Grant(readable=readable)


def _sanitized(sandbox: Sandbox, compiled: Compiled, library: str) -> tuple[dict[str, Any], Grant]:
    """The functions in a Python that was started with the sanitizer's library."""
    script = sanitized_child.__file__
    interpreter = os.path.realpath(sys.executable)
    name = sysconfig.get_config_var("INSTSONAME") or ""
    shared = os.path.realpath(Path(sysconfig.get_config_var("LIBDIR") or "/", name))
    filtering = base64.b64encode(seccomp.program(platform.machine())).decode() if sandbox.isolation.seccomp else ""
    environment = {"LC_ALL": "C", "LD_PRELOAD": compiled.preload} | SANITIZER_OPTIONS
    program = {
        "arguments": [interpreter, "-I", "-S", "-B", script, library, compiled.edition, str(REPLIES), filtering],
        "environment": environment,
    }
    readable = (*granted()[0], os.path.dirname(script), library)  # noqa: PTH120 - as the kernel takes it
    executable = (*SYSTEM, interpreter, shared) if name else (*SYSTEM, interpreter)
    return program, Grant(readable=readable, executable=executable, programs=True, sanitized=True)
