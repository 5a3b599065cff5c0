"""What was tried on one program, and how much may still be tried: the search ends by counts, not by a clock.

The unit is one operation of a recorded run, some four microseconds. So the same file gets the same diagnosis on every
machine, however busy it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bnbench.diagnose.corrections import Correction, Kind

REPLAYED = 60_000
"""Operations of all replays together: a quarter of a second, a thousand replays of a function without loops."""
EDITED = 300_000
"""The same for edited functions: about a second, four thousand edits without loops."""
COMPILED = 60
"""What the compilation of an edited function comes to."""
RECORDING = 3
"""A recorded operation takes so many times the plain one."""


class Attempts:
    """Of one inquiry."""

    def __init__(self, events: int) -> None:
        """``events`` is the length of one recorded run."""
        self._run = events
        self._replayed, self._edited = REPLAYED, EDITED
        self.proposals: dict[tuple[int, Kind], list[Correction]] = {}
        """The edits of each line, once they were made."""
        self.outcomes: dict[int, bool] = {}
        """Whether an edit of ``proposals`` makes everything right, by its id, once it was run."""

    def replay(self) -> bool:
        """Whether one more replay is allowed; it is then taken to be made."""
        self._replayed -= self._run
        return self._replayed >= 0

    def edit(self) -> bool:
        """Whether one more run of an edited function is allowed; it is then taken to be made."""
        self._edited -= COMPILED + self._run // RECORDING
        return self._edited >= 0
