"""The Typer of every command, which gives them the options that all have, and says what Ctrl-C left.

Every command takes ``--quiet`` (nothing but errors; the exit code tells), ``--verbose`` (also versions and
how long every step took) and ``--no-color``. None declares them: a command prints with
:func:`bnbench.console.show`, ``say``, ``detail`` and ``progress``, which follow them.
"""

from __future__ import annotations

import functools
import inspect
import os
import time
from collections.abc import Callable
from typing import Any, TypeVar

import typer

from bnbench.cli_options import NoColor, Quiet, Verbose
from bnbench.console import LOUDNESS, Loudness, detail, keeping, settle_colours, versions

Command = TypeVar("Command", bound=Callable[..., Any])


class App(typer.Typer):
    """A Typer whose every command takes the options that all commands have, and says what Ctrl-C left."""

    def command(self, name: str | None = None, **options: Any) -> Callable[[Command], Command]:
        register = super().command(name, **options)

        def decorate(function: Command) -> Command:
            register(with_common_options(function))
            return function

        return decorate


def with_common_options(function: Command) -> Command:
    """The command with ``--quiet``, ``--verbose`` and ``--no-color``, which it does not see itself."""
    signature = inspect.signature(function, eval_str=True)
    declared = signature.parameters
    common = {"quiet": Quiet, "verbose": Verbose, "no_color": NoColor}
    extra = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=option)
        for name, option in common.items()
        if name not in declared
    ]

    @functools.wraps(function)
    def run(*args: Any, **given: Any) -> Any:
        told = {name: given[name] if name in declared else given.pop(name) for name in common}
        settle_colours(os.environ, wanted=not told["no_color"])
        quiet, verbose = told["quiet"], told["verbose"]
        token = LOUDNESS.set(Loudness.QUIET if quiet else Loudness.VERBOSE if verbose else Loudness.NORMAL)
        began = time.monotonic()
        if verbose:
            detail(versions())
        try:
            with keeping("nothing was written"):
                return function(*args, **given)
        finally:
            detail(f"{function.__name__.strip('_')}: {time.monotonic() - began:.1f} s")
            LOUDNESS.reset(token)

    # What typer reads in place of (*args, **given); wraps keeps everything else of the command's type.
    run.__signature__ = signature.replace(parameters=[*declared.values(), *extra])  # type: ignore[attr-defined]
    return run  # type: ignore[return-value]
