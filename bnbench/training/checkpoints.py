"""Where an interrupted experiment goes on: a file for each finished run, and one for the run that was under way."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bnbench import __version__
from bnbench.report.codec import plain
from bnbench.training.model import Data, Run, Trained


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """The files of one run."""

    folder: Path
    name: str
    """Digest of all that decides the run's numbers: a file of another run is never taken for its own."""

    @property
    def _state(self) -> Path:
        return self.folder / f"{self.name}.pt"

    @property
    def _result(self) -> Path:
        return self.folder / f"{self.name}.json"

    def write(self, trained: Trained, states: Mapping[str, Any]) -> None:
        """Keep a run that is under way."""
        import torch

        text = json.dumps(plain(trained), allow_nan=False)

        def save(file: io.BytesIO) -> None:
            torch.save({"trained": text, **states}, file)

        _replace(self._state, save)

    def read(self) -> tuple[Trained, Mapping[str, Any]] | None:
        """The run as it was kept, and the states of model, optimizer and schedule; None when there is nothing."""
        import torch

        if not self._state.exists():
            return None
        states = torch.load(self._state, weights_only=True)
        return _parse(states.pop("trained")), states

    def finish(self, trained: Trained) -> None:
        """Keep a finished run."""
        _replace(self._result, lambda file: file.write(json.dumps(plain(trained), allow_nan=False).encode()))
        self._state.unlink(missing_ok=True)

    def finished(self) -> Trained | None:
        """The run if it was finished."""
        return _parse(self._result.read_text(encoding="utf-8")) if self._result.exists() else None


def checkpoint_of(folder: Path, experiment: str, run: Run, data: Data) -> Checkpoint:
    """The checkpoint of a run of an experiment on these data, with these versions of bnbench, NumPy and torch."""
    import numpy as np
    import torch

    digest = hashlib.sha256()
    versions = (__version__, np.__version__, torch.__version__)
    digest.update(json.dumps([experiment, plain(run), data.name, *versions], allow_nan=False).encode())
    for part in (data.x, data.labels, data.test_x, data.test_labels):
        digest.update(part.tobytes())
    return Checkpoint(folder=folder, name=digest.hexdigest()[:32])


def _parse(text: str) -> Trained:
    from pydantic import TypeAdapter

    return TypeAdapter(Trained).validate_json(text)


def _replace(path: Path, write: Callable[[io.BytesIO], Any]) -> None:
    """Write a file in one step: killed at any time, there is the old one or the new one."""
    content = io.BytesIO()
    write(content)
    scratch = path.with_suffix(".new")
    with scratch.open("wb") as file:
        file.write(content.getvalue())
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)
