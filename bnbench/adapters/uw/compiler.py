"""The system's C compiler, on a handed-in file."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from bnbench.adapters.uw.functions import Edition, Function, edition_of, functions
from bnbench.sandbox.build import WORDS_BYTES, Built

INCLUDE = ("uwnet.c", "uwnet.h", "matrix.h")
"""Files of the folder ``include``, which lie beside the handed-in one when it is compiled."""
SOURCE_NAMES: Mapping[Edition, str] = {"groups": "batchnorm_layer.c", "spatial": "batch_norm.c"}
MESSAGE_CHARACTERS = 2000
COMPILE_SECONDS = 30.0
"""Deadline of the compiler, where it runs with the user's own rights."""
FOLDERS = re.compile(r"(?<![\w.])/(?:[^\s/:]+/)+")
OBJECTS = re.compile(r"\bcc\w{6}\.o: ?")
"""Names that differ from run to run."""
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g", "-O1")


@dataclass(frozen=True, kw_only=True, slots=True)
class Compiled:
    """What became of a handed-in file."""

    status: Literal["compiled", "compile_error", "timeout", "unsupported"]
    library: Path
    """Exists if the status is ``compiled``."""
    source_name: str
    edition: Edition
    functions: Mapping[str, Function]
    """The functions that the text defines; the others are missing or have another name."""
    message: str = ""
    """The compiler's own words, without a path of this machine; empty if it compiled."""
    preload: str = ""
    """The sanitizer's library, which must be loaded before anything else; empty without sanitizers."""


RunCompiler: TypeAlias = Callable[[Sequence[str], Mapping[str, bytes], str], Built]
"""Runs a command in a folder with these files, and returns the output file of that name."""


def find_compiler() -> str | None:
    """Path of the compiler: that of the environment's ``CC``, or cc, gcc, clang; None without one."""
    return next(filter(None, map(shutil.which, (os.environ.get("CC") or "cc", "cc", "gcc", "clang"))), None)


def compile_uw(
    source: bytes, out_dir: Path, *, compiler: str, sanitize: bool = False, run: RunCompiler | None = None
) -> Compiled:
    """Compile ``source`` to a shared library in ``out_dir``, with bnbench's header and helpers.

    ``sanitize`` builds with AddressSanitizer and UndefinedBehaviorSanitizer; it raises RuntimeError
    where the compiler has no shared library of the first. The compiler reads whatever the source
    includes: a stranger's file is compiled with ``run=compiler_in(sandbox)``
    (:mod:`bnbench.adapters.uw.sandboxed`), which may raise SandboxError; the default is
    :func:`compile_here`.
    """
    found = functions(source.decode("utf-8", "replace"))
    edition = edition_of(found)
    name = SOURCE_NAMES[edition]
    library = out_dir / ("sanitized.so" if sanitize else "submission.so")
    command = [
        *(compiler, "-std=gnu99", "-fPIC", "-shared", "-fdiagnostics-color=never"),
        *("-fmax-errors=5", "-I", "."),
        *(SANITIZERS if sanitize else ("-O2",)),
        *(("-DUWNET_SPATIAL",) if edition == "spatial" else ()),
        *(name, "uwnet.c", "-o", library.name, "-lm"),
    ]
    if sys.platform.startswith("linux") and not sanitize:
        # Elsewhere this is the rule; the sanitizer's own functions come with the library that is loaded before.
        command.append("-Wl,--no-undefined")
    preload = _sanitizer(compiler) if sanitize else ""
    files = {file: Path(__file__).with_name("include").joinpath(file).read_bytes() for file in INCLUDE}
    built = (run or compile_here)(command, files | {name: source}, library.name)
    returncode, words = built.returncode, built.words.decode("utf-8", "replace")
    status: Literal["compiled", "compile_error", "timeout", "unsupported"] = "compiled"
    if returncode != 0 and any("batchnorm2d" in function for function in found):
        status, words = "unsupported", "the edition with 4-D tensors (batchnorm2d_layer.c) is not supported"
    elif returncode is None:
        status, words = "timeout", "the compiler was not done in time"
    elif returncode != 0 or built.output is None:
        status = "compile_error"
    else:
        library.write_bytes(built.output)
    return Compiled(
        status=status,
        library=library,
        source_name=name,
        edition=edition,
        functions=found,
        message="" if status == "compiled" else _cleaned(words),
        preload=preload,
    )


def compile_here(command: Sequence[str], files: Mapping[str, bytes], output: str) -> Built:
    """Run the compiler with the user's own rights, in a folder with these files; none of it is left running."""
    with (
        tempfile.TemporaryDirectory() as name,
        tempfile.TemporaryFile() as words,
    ):
        folder = Path(name)
        for file, content in files.items():
            (folder / file).write_bytes(content)
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TMPDIR": name}
        with subprocess.Popen(  # noqa: S603 - the command is ours, the source is data
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=words,
            start_new_session=True,
        ) as process:
            returncode: int | None
            try:
                returncode = process.wait(COMPILE_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                returncode = None
        made = (folder / output).read_bytes() if (folder / output).exists() else None
        return Built(returncode=returncode, words=os.pread(words.fileno(), WORDS_BYTES, 0), output=made)


def _cleaned(words: str) -> str:
    """Make a message fit for a report: no folders, no control characters, not endless."""
    words = OBJECTS.sub("", FOLDERS.sub("", words))
    words = "".join(c for c in words if c == "\n" or c.isprintable())
    return words if len(words) <= MESSAGE_CHARACTERS else words[:MESSAGE_CHARACTERS] + "\n[...]"


def _sanitizer(compiler: str) -> str:
    """Path of the sanitizer's library, which must come before every other in the process."""
    words = subprocess.run(  # noqa: S603 - the compiler
        [compiler, "-print-file-name=libasan.so"], capture_output=True, text=True, check=False, timeout=COMPILE_SECONDS
    ).stdout.strip()
    if not Path(words).is_absolute():
        raise RuntimeError("this compiler has no shared library of AddressSanitizer (libasan.so)")
    return words
