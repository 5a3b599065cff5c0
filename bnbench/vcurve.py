"""The V-curve: the error of a central difference over its step, between round-off and truncation.

A large step leaves h^2 of the function's third derivative, a small one divides the rounding of two losses by h. The
gradient checks (BN301) choose the step by the data's scale and the dtype, extrapolate away the h^2, and judge in
units of the noise that they measured (:mod:`bnbench.differences`). Here is all of that for one implementation and
one case, at every step. Only dx has such a curve: y is affine in gamma and beta.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bnbench.cases import case_id, draw, draw_cotangent, elements
from bnbench.differences import blocked, deviations, directional_probes, scale_of
from bnbench.kernels import Point, outputs_at
from bnbench.model import Case, Subject
from bnbench.tolerances import roundoff

DIRECTIONS = 3
"""As many as BN301 takes at first; with the same draws they are the same."""
PER_DECADE = 4
LARGEST = 1.0
"""Of the steps, in units of sqrt(M) sd, where the variance along the direction has its nearest zero."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One step, and what the central difference with it is off by."""

    h: float
    """Along a unit direction, in the unit of x."""
    error: float
    """|(phi(x + h q) - phi(x - h q)) / (2 h) - <dx, q>|, in the unit of the derivative."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VCurve:
    """One block and direction: that of which BN301 finds the largest z."""

    implementation: str
    case: str
    block: int
    steps: tuple[Step, ...]
    """From the smallest to the largest."""
    derivative: float
    """|<dx, q>|, of the implementation's own backward."""
    noise: float
    """Standard deviation of the loss's rounding noise, measured: round-off of the difference is noise / (sqrt(2) h)."""
    curvature: float
    """c of the truncation c h^2, from the two largest steps of the extrapolation."""
    chosen: float
    """h of the first step of the extrapolation; the others are its half and its quarter."""
    romberg_error: float
    romberg_noise: float
    """One unit of z at that estimate: truncation and the noise of both passes."""

    @property
    def z(self) -> float:
        """The error of the extrapolated estimate in units of its noise; infinite where there is none."""
        if self.romberg_error == 0:
            return 0.0
        z = self.romberg_error / self.romberg_noise if self.romberg_noise else math.inf
        return math.inf if math.isnan(z) else z

    def round_off(self, h: float) -> float:
        """What the measured noise makes of a central difference with step h: its standard deviation."""
        return self.noise / (math.sqrt(2) * h)

    def truncation(self, h: float) -> float:
        """What a step h leaves out."""
        return self.curvature * h**2


def v_curve(subject: Subject, case: Case) -> VCurve:
    """Measure the curve of one implementation on one case, some 150 forward evaluations.

    Raises whatever the implementation raises, and ValueError where it has no backward in the mode of the case.
    """
    if not subject.capabilities.has_vjp(training=case.training):
        raise ValueError(f"{subject.name} declares no backward in eval mode")
    inputs, dy = draw(case), draw_cotangent(case)
    rng = np.random.default_rng(case.seed)
    probes = tuple(directional_probes(subject.kernel, inputs, dy, rng, directions=DIRECTIONS))
    scale = scale_of(inputs)
    deviation = deviations(probes, scale)
    which, block = (int(i) for i in np.unravel_index(np.argmax(deviation.z), deviation.z.shape))
    probe = probes[which]
    at = blocked(inputs, dy)

    unit = math.sqrt(elements(case)) * scale.sd
    smallest = max(1e-15, roundoff(inputs.x.dtype) * float(scale.kappa[block]))
    count = round(PER_DECADE * math.log10(LARGEST / smallest)) + 1
    # Every block moves by its own step, so that the one that is shown is measured as the check measures it.
    lengths = [unit * LARGEST * 10.0 ** (-k / PER_DECADE) for k in reversed(range(count))]
    lengths += [scale.step, scale.step / 2]

    def points() -> Iterator[Point]:
        for length in lengths:
            yield at.point(at.moved(length, probe.direction))
            yield at.point(at.moved(-length, probe.direction))

    outputs = outputs_at(subject.kernel, points())
    dx = at.panels(subject.kernel(inputs, dy).gradients[0].dx)
    errors = [
        float(at.difference_error(next(outputs), next(outputs), dx, probe.direction, length)[block])
        for length in lengths
    ]
    *errors, first, second = errors
    step = float(scale.step[block])
    return VCurve(
        implementation=subject.name,
        case=case_id(case),
        block=block,
        steps=tuple(Step(h=float(h[block]), error=abs(e)) for h, e in zip(lengths, errors, strict=False)),
        derivative=abs(float((dx * probe.direction)[:, block].sum())),
        noise=float(probe.forward[block]),
        curvature=abs(first - second) / (0.75 * step**2),
        chosen=step,
        romberg_error=float(deviation.error[which, block]),
        romberg_noise=float(deviation.noise[which, block]),
    )
