"""Does state stay where it belongs: in the arguments, and nowhere else?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from bnbench.cases import draw, draw_cotangent
from bnbench.checks._check import BATCH, check
from bnbench.checks.forward import outputs_have_the_types_of_the_inputs, rounding_unit
from bnbench.checks.statistics import statistic_unit
from bnbench.compare import agrees, compare, compare_bits, differs
from bnbench.model import Case, Comparison, Inputs, Subject
from bnbench.reference import normalize
from bnbench.tolerances import EXACT, ROUNDING

RUNNING = ("running_mean", "running_var")
STEPS = 3


def _with_options(inputs: Inputs, *, momentum: float | None = None, training: bool | None = None) -> Inputs:
    options = inputs.options
    return replace(
        inputs,
        options=replace(
            options,
            momentum=options.momentum if momentum is None else momentum,
            training=options.training if training is None else training,
        ),
    )


def _with_state(inputs: Inputs, mean: float, variance: float) -> Inputs:
    """The same inputs with running statistics that are equal for all channels."""
    gamma = inputs.gamma
    return replace(inputs, running_mean=np.full_like(gamma, mean), running_var=np.full_like(gamma, variance))


@check(
    "BN211",
    mutant="running_statistics_of_y",
    training=True,
    norms=BATCH,
    after=(outputs_have_the_types_of_the_inputs,),
    usual_cause="the statistics are taken after gamma and beta, or the backward updates them once more",
)
def running_statistics_depend_on_x_alone(subject: Subject, case: Case) -> Iterator[Comparison]:
    """A train step moves the running statistics by x alone: not by gamma, beta, dy or a vjp.

    Other gamma and beta, and a forward with and without a vjp after it, give the same bits.
    """
    inputs = draw(case)
    alone = subject.kernel(inputs)
    followed = subject.kernel(inputs, draw_cotangent(case))
    scaled = subject.kernel(replace(inputs, gamma=-2 * inputs.gamma, beta=inputs.beta + 1))
    for quantity in RUNNING:
        expected = getattr(alone, quantity)
        yield compare_bits(f"{quantity} with a vjp", getattr(followed, quantity), expected)
        yield compare_bits(f"{quantity} with other gamma and beta", getattr(scaled, quantity), expected)


@check(
    "BN212",
    mutant="running_var_takes_the_root_of_m",
    training=True,
    norms=BATCH,
    after=(outputs_have_the_types_of_the_inputs,),
    usual_cause="an update without decay, twice in a step, or with a weight that is not momentum",
)
def constant_batches_leave_the_known_fraction(subject: Subject, case: Case) -> Iterator[Comparison]:
    """After k batches of one constant c, running_mean has gone exactly 1 - (1 - momentum)^k of the way to c.

    A constant batch has mean c and variance 0, so that

        running_mean_k = c + (1 - m)^k (running_mean_0 - c),    running_var_k = (1 - m)^k running_var_0.

    With m = 1/4, k = 3, whole numbers and a power of two of elements nothing is rounded: no tolerance.
    """
    channels = np.arange(3)
    shape = (4, 3, *(2 for _ in case.shape[2:]))
    small = replace(case, shape=shape, momentum=0.25)
    inputs = draw(small)
    dtype = inputs.x.dtype
    constant, mean, variance = (a.astype(dtype) for a in (3.0 - 5 * channels, channels * 7.0 + 2, channels + 1.0))
    column = constant.reshape(1, -1, *(1 for _ in shape[2:]))
    inputs = replace(inputs, x=np.ascontiguousarray(np.broadcast_to(column, shape)))
    state = replace(inputs, running_mean=mean, running_var=variance)
    for _ in range(STEPS):
        outputs = subject.kernel(state)
        state = replace(state, running_mean=outputs.running_mean, running_var=outputs.running_var)
    left = 0.75**STEPS
    yield compare("running_mean", state.running_mean, constant + left * (mean - constant), 1.0, EXACT)
    yield compare("running_var", state.running_var, left * variance, 1.0, EXACT)


@check(
    "BN213",
    mutant="momentum_is_one_over_the_calls",
    training=True,
    norms=BATCH,
    after=(outputs_have_the_types_of_the_inputs,),
    usual_cause="state of its own beside the arguments: a step counter, a copy of the statistics, a warm-up",
)
def running_statistics_chain_over_batches(subject: Subject, case: Case) -> Iterator[Comparison]:
    """Statistics handed on over different batches end where the reference's end.

    Every batch has another scale and mean, so that the order and the weight of each one count.
    """
    ddof = subject.capabilities.running_var_ddof
    got = expected = draw(case)
    units = dict.fromkeys(RUNNING, np.zeros(case.channels))
    for step in range(STEPS):
        batch = draw(replace(case, seed=case.seed + step, mean=case.mean + step * case.sd, sd=case.sd * 2**step)).x
        reached = subject.kernel(replace(got, x=batch))
        right = normalize(replace(expected, x=batch), running_var_ddof=ddof)
        for quantity in RUNNING:
            units[quantity] = units[quantity] + statistic_unit(
                replace(expected, x=batch), quantity, getattr(right, quantity)
            )
        got = replace(got, running_mean=reached.running_mean, running_var=reached.running_var)
        expected = replace(expected, running_mean=right.running_mean, running_var=right.running_var)
    for quantity in RUNNING:
        yield compare(quantity, getattr(got, quantity), getattr(expected, quantity), units[quantity], ROUNDING)


@check(
    "BN214",
    mutant="momentum_zero_is_the_default",
    training=True,
    norms=BATCH,
    after=(outputs_have_the_types_of_the_inputs,),
    usual_cause="`momentum or 0.1`: zero is false in Python, and a frozen layer goes on moving",
)
def momentum_zero_freezes_and_one_replaces(subject: Subject, case: Case) -> Iterator[Comparison]:
    """With momentum 0 the running statistics keep their bits, with momentum 1 they become the batch's."""
    inputs = draw(case)
    frozen = subject.kernel(_with_options(inputs, momentum=0.0))
    for quantity in RUNNING:
        yield compare_bits(f"{quantity} with momentum 0", getattr(frozen, quantity), getattr(inputs, quantity))
    replaced = _with_options(inputs, momentum=1.0)
    got = subject.kernel(replaced)
    right = normalize(replaced, running_var_ddof=subject.capabilities.running_var_ddof)
    for quantity in RUNNING:
        expected = getattr(right, quantity)
        unit = statistic_unit(replaced, quantity, expected)
        yield compare(f"{quantity} with momentum 1", getattr(got, quantity), expected, unit, ROUNDING)


@check(
    "BN215",
    mutant="fresh_statistics_are_replaced",
    training=True,
    norms=BATCH,
    after=(outputs_have_the_types_of_the_inputs,),
    usual_cause="the first step is told from later ones by statistics that are all zero",
)
def fresh_statistics_move_like_any_other(subject: Subject, case: Case) -> Iterator[Comparison]:
    """Running statistics that start at mean 0 and variance 1 or 0 move by the same rule as all others."""
    inputs = draw(case)
    for variance in (1.0, 0.0):
        fresh = _with_state(inputs, 0.0, variance)
        got = subject.kernel(fresh)
        right = normalize(fresh, running_var_ddof=subject.capabilities.running_var_ddof)
        for quantity in RUNNING:
            expected = getattr(right, quantity)
            name = f"{quantity} from mean 0 and variance {variance:g}"
            yield compare(name, getattr(got, quantity), expected, statistic_unit(fresh, quantity, expected), ROUNDING)


@check(
    "BN216",
    mutant="eval_of_fresh_statistics_uses_the_batch",
    training=False,
    norms=BATCH,
    after=(outputs_have_the_types_of_the_inputs,),
    usual_cause="eval falls back on the batch while the running statistics look untouched",
)
def eval_takes_fresh_statistics_as_they_are(subject: Subject, case: Case) -> Iterator[Comparison]:
    """Before any train step, eval with mean 0 and variance 1 gives gamma x / sqrt(1 + eps) + beta."""
    inputs = _with_state(draw(case), 0.0, 1.0)
    expected = normalize(inputs).y
    yield compare("y", subject.kernel(inputs).y, expected, rounding_unit(inputs, expected), ROUNDING)


@check(
    "BN217",
    mutant="one_cache_for_all_calls",
    after=(outputs_have_the_types_of_the_inputs,),
    needs_vjp=True,
    usual_cause="what the backward needs is kept in a global, and the next call overwrites it",
)
def a_call_beside_leaves_the_gradients_alone(subject: Subject, case: Case) -> Iterator[Comparison]:
    """Another forward call between a forward and its vjp changes no bit of the gradients.

    Two layers of a network are two such calls: both forwards come before either backward. The other
    call has other data of the same shape, and for batch norm once more the other mode.
    """
    inputs, dy = draw(case), draw_cotangent(case)
    other = draw(replace(case, seed=case.seed + 1))
    beside = {"another batch": other}
    if case.norm == "batch":
        beside["the other mode"] = _with_options(other, training=not case.training)
    alone = subject.kernel(inputs, dy).gradients[0]
    for what, call in beside.items():
        disturbed = subject.kernel(inputs, dy, beside=call).gradients[0]
        for quantity, a, b in zip(alone._fields, disturbed, alone, strict=True):
            yield compare_bits(f"{quantity} beside {what}", a, b)


@check(
    "BN218",
    mutant="one_buffer_for_every_y",
    after=(outputs_have_the_types_of_the_inputs,),
    needs_vjp=True,
    usual_cause="a buffer that is written again by the next call is handed out instead of a copy",
)
def outputs_belong_to_the_caller(subject: Subject, case: Case) -> Iterator[Comparison]:
    """No output changes after it was returned: not by its vjp, not by a second vjp, not by another call."""
    dy = draw_cotangent(case)
    other = draw(replace(case, seed=case.seed + 1))
    overwritten = subject.kernel(draw(case), dy, -dy, beside=other).overwritten
    if overwritten:
        yield differs("outputs", got=f"{', '.join(overwritten)} overwritten later", expected="all as returned")
    else:
        yield agrees("outputs", "all as returned")
