"""The verdict on the gradient with respect to one argument: slopes along directions, then the worst element."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bnbench.compare import relative_error
from bnbench.directions import Point, Slope, along, dense, look, noises, slope, sparse
from bnbench.model import Status
from bnbench.report.words import number
from bnbench.tolerances import ESCALATE, NOISE, RESOLUTION, ZERO
from bnbench.verdict import ArgumentVerdict, beyond

MORE = 12
"""Directions of the second look: where the first was doubtful, hit kinks or saw little."""


def judged(name: str, point: Point, rng: np.random.Generator, *, directions: int, elements: int) -> ArgumentVerdict:
    groups = [look(point, dense(point, rng, directions))]
    if _smooth(groups) < 2 or not (_zero(groups, point) or NOISE.limit * _resolution(groups) <= RESOLUTION.limit):
        # What moves all elements meets every kink, and the one element that sits on one; others need not.
        groups += [look(point, sparse(point, rng, MORE // 2, share)) for share in (1 / 8, 0)]
    smooth = [s for group in groups for s in group if s.smooth]
    if smooth and NOISE.limit < max(s.z for s in smooth) <= ESCALATE:
        again = [look(point, dense(point, rng, MORE))]
        groups = again if _smooth(again) else groups
        smooth = [s for group in groups for s in group if s.smooth]
    found = [s for group in groups for s in group]

    rough = len(found) - len(smooth)
    where = "a kink or the edge of the domain near the data, or noise"
    if not smooth:
        reason = f"undecided: not smooth along any of {len(found)} directions ({where})"
        return ArgumentVerdict(name=name, status=Status.VACUOUS, reason=reason, rough=rough)
    worst = max(smooth, key=lambda s: s.z)
    resolution = _resolution(groups)
    nothing = not point.dx.any() and all(s.size == 0 for s in smooth)

    status, reason, notes = Status.PASSED, "", []
    if not worst.z <= NOISE.limit:
        status, reason = Status.FAILED, beyond(worst.z)
    elif nothing:
        notes.append("zero on both sides: y does not depend on it here")
    elif _zero(groups, point):
        units = max(abs(s.analytic) / s.budget for s in smooth)
        notes.append(f"0 within noise: the claimed slope is at most {number(units)} noise units")
    elif not NOISE.limit * resolution <= RESOLUTION.limit:
        status = Status.VACUOUS
        reason = f"undecided: the noise hides relative errors below {number(NOISE.limit * resolution)}"
    if rough:
        notes.append(f"not smooth along {rough} of {len(found)} directions ({where}): judged on the others")
    place = _worst_element(point, worst, smooth, rng, elements=elements, failed=status is Status.FAILED)
    return ArgumentVerdict(
        name=name,
        status=status,
        reason=reason,
        notes=(*notes, *place.notes),
        z=worst.z,
        directions=len(smooth),
        rough=rough,
        resolution=resolution,
        zero=nothing,
        index=place.index,
        got=place.got,
        expected=place.expected,
        relative=place.relative,
    )


def _smooth(groups: Sequence[Sequence[Slope]]) -> int:
    return sum(s.smooth for group in groups for s in group)


def _zero(groups: Sequence[Sequence[Slope]], point: Point) -> bool:
    """Whether claimed and numeric slopes are zero within a noise that is small itself."""
    limit = ZERO.limit * point.loss(point.x)[1]
    smooth = [s for group in groups for s in group if s.smooth]
    return all(s.size <= NOISE.limit * s.budget and s.budget <= limit for s in smooth)


def _resolution(groups: Sequence[Sequence[Slope]]) -> float:
    """The noise as a share of the slope, along the kind of directions that shows most."""
    shares = [math.inf]
    for group in groups:
        smooth = [s for s in group if s.smooth]
        if size := math.sqrt(sum(s.size**2 for s in smooth) / max(len(smooth), 1)):
            shares.append(float(np.median([s.budget for s in smooth])) / size)
    return min(shares)


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where claimed and numeric derivative differ most."""

    got: float
    expected: float
    index: tuple[int, ...] | None = None
    relative: float | None = None
    notes: tuple[str, ...] = ()


def _worst_element(
    point: Point,
    worst: Slope,
    smooth: Sequence[Slope],
    rng: np.random.Generator,
    *,
    elements: int,
    failed: bool,
) -> Place:
    # Near the steps that were right for directions, so that an element costs 15 evaluations.
    middle = int(np.argmin(np.abs(point.steps - np.median([s.step for s in smooth]))))
    first = int(np.clip(middle - 2, 0, max(len(point.steps) - 7, 0)))
    steps = point.steps[first : first + 7]
    size = point.x.size
    if size > elements and not failed:
        return Place(got=worst.analytic, expected=worst.numeric)
    positions = np.arange(size)
    while len(positions) > max(elements, 1):
        # A random direction in each half; the half that is further off has the worst elements.
        halves = np.array_split(positions, 2)
        found = look(point, [along(point, half, rng) for half in halves])
        positions = halves[int(np.argmax([abs(s.analytic - s.numeric) if s.smooth else 0.0 for s in found]))]
    noise = min(noises(point, sparse(point, rng, MORE // 2, 0)), key=lambda noise: noise.forward)
    each = [along(point, positions[i : i + 1]) for i in range(len(positions))]
    slopes = {int(p): slope(point, q, noise, steps=steps) for p, q in zip(positions, each, strict=True)}
    judged = {position: s for position, s in slopes.items() if s.smooth}
    if not judged:
        return Place(got=worst.analytic, expected=worst.numeric)
    claimed = {position: float(point.dx.ravel()[position]) for position in judged}
    numeric = {position: s.numeric / point.magnitude for position, s in judged.items()}
    position = max(judged, key=lambda p: judged[p].z)
    rough = len(slopes) - len(judged)
    return Place(
        got=claimed[position],
        expected=numeric[position],
        index=tuple(int(i) for i in np.unravel_index(position, point.x.shape)),
        relative=relative_error(np.array(list(numeric.values())), np.array(list(claimed.values()))),
        notes=(f"{rough} of {len(slopes)} elements, on a kink, left out of the relative error",) if rough else (),
    )
