"""The data on which the values of a foreign program are recognized."""

from __future__ import annotations

import numpy as np

from bnbench.model import Array, Inputs, Norm, Options

SHAPES: dict[int, tuple[tuple[tuple[int, ...], int], ...]] = {
    2: (((7, 4), 1), ((5, 6), 1)),
    3: (((3, 12, 5), 3), ((5, 6, 4), 2)),
    4: (((4, 6, 2, 4), 3), ((5, 8, 7, 2), 2)),
    5: (((4, 8, 2, 1, 5), 2), ((5, 6, 4, 4, 1), 3)),
}
GROUPS_OF_COLUMNS = (((4, 10), 2), ((5, 12), 4))
"""For group norm of rank 2, whose blocks have C / G elements: more than two, or all centred values are alike."""
"""Two shapes for each rank, with the number of groups. No two of N, N-1, C, G, C/G, H, W, M, M-1, 2, 3, nor two
products or quotients of two of them, agree on both, except where they always do (H W = M / N)."""

EPS = (0.3, 0.7)
"""Of the order of the variances below: where eps is forgotten, everything after it changes."""

MOMENTUM = (0.23, 0.31)


def probe_cases(norm: Norm = "batch", *, rank: int = 2, training: bool = True) -> tuple[tuple[Inputs, Array], ...]:
    """Return two runs ``(inputs, dy)``, float64, of different shapes and draws; ``rank`` is that of x, 2 to 5.

    Generic: nothing is 0 or 1 or equal to anything else by chance. Well conditioned: means of one to three
    standard deviations, those between 0.4 and 2, so that rounding stays below 1e-13 and a wrong eps of 1e-10
    above 1e-11. gamma has both signs. Raises ValueError
    for instance norm of rank 2, whose blocks are single elements.
    """
    if norm == "instance" and rank == 2:
        raise ValueError("instance norm of rank 2 has one element in a block: everything is zero")
    cases = []
    shapes = GROUPS_OF_COLUMNS if norm == "group" and rank == 2 else SHAPES[rank]
    for seed, (shape, groups) in enumerate(shapes):
        rng = np.random.default_rng((26, rank, seed))
        channels = shape[1]
        column = (1, -1) + (1,) * (rank - 2)
        sd = rng.permutation(np.geomspace(0.4, 2.0, channels)) * rng.uniform(0.9, 1.1, channels)
        mean = sd * rng.uniform(1.0, 3.0, channels) * _signs(rng, channels)
        x = mean.reshape(column) + sd.reshape(column) * rng.standard_normal(shape)
        inputs = Inputs(
            x=x,
            gamma=rng.uniform(0.5, 2.0, channels) * _signs(rng, channels),
            beta=rng.uniform(0.2, 1.5, channels) * _signs(rng, channels),
            running_mean=mean + rng.uniform(0.3, 0.9, channels),
            running_var=sd**2 * rng.uniform(1.3, 2.3, channels),
            options=Options(
                training=training,
                norm=norm,
                groups={"group": groups, "instance": channels}.get(norm, 1),
                eps=EPS[seed],
                momentum=MOMENTUM[seed],
            ),
        )
        cases.append((inputs, rng.standard_normal(shape) + 0.4))
    return tuple(cases)


def _signs(rng: np.random.Generator, count: int) -> Array:
    """Both signs, at random positions."""
    return rng.permutation(np.where(np.arange(count) % 2, -1.0, 1.0))
