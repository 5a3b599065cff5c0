"""One fixed report in two sizes, and the golden files, which only ``pytest tests/report --rewrite-golden`` writes."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from bnbench.model import (
    Broken,
    Capabilities,
    CheckInfo,
    Comparison,
    Environment,
    Finding,
    ImplementationInfo,
    Interval,
    Measurement,
    Report,
    SelfTest,
    SelfTestRow,
    Status,
    Untimed,
)

GOLDEN = Path(__file__).parent.parent / "golden" / "report"

ENVIRONMENT = Environment(
    created="2026-01-02T03:04:05+00:00",
    bnbench="0.1.0",
    python="3.13.1",
    platform="Linux-6.1-x86_64-glibc2.36",
    cpu="Example CPU 3 GHz",
    cores=2,
    threads=1,
    allocator="glibc: mmap and trim thresholds raised",
    versions={"torch": "2.13.0", "numpy": "2.4.0"},
)
IMPLEMENTATIONS = (
    ImplementationInfo(
        name="numpy_staged",
        summary="NumPy, one line per node of the graph",
        capabilities=Capabilities(),
        available=True,
    ),
    ImplementationInfo(
        name="numpy_simplified",
        summary="NumPy, backward in closed form",
        capabilities=Capabilities(),
        available=True,
    ),
    ImplementationInfo(
        name="c_fused",
        summary="C, one pass for the statistics and one for the output",
        capabilities=Capabilities(ranks=(2, 4)),
        available=True,
    ),
    ImplementationInfo(
        name="torch_native",
        summary="torch.nn.functional.batch_norm, differentiated by autograd",
        capabilities=Capabilities(running_var_ddof=1, validates=False),
        available=True,
    ),
    ImplementationInfo(
        name="torch_composed",
        summary="elementary torch operations, differentiated by autograd",
        capabilities=Capabilities(running_var_ddof=1),
        available=True,
    ),
    ImplementationInfo(
        name="numba_fused",
        summary="NumPy loops, compiled by Numba",
        capabilities=Capabilities(),
        available=False,
        reason="numba is not installed: pip install 'bnbench[numba]'",
    ),
)
CHECKS = (
    CheckInfo(code="BN101", name="types", group="forward", claim="Every output has the dtype of x, and its shape"),
    CheckInfo(
        code="BN102", name="train", group="forward", claim="In train mode, y is normalized by the batch's own mu and v"
    ),
    CheckInfo(
        code="BN201",
        name="running_mean",
        group="statistics",
        claim="A train step moves running_mean by momentum towards mu",
    ),
    CheckInfo(
        code="BN202",
        name="running_var",
        group="statistics",
        claim="A train step moves running_var by momentum towards v M / (M - ddof)",
    ),
    CheckInfo(
        code="BN301",
        name="dx",
        group="gradient",
        claim="dx is the derivative of <dy, y> with respect to x, taken of the implementation's own forward",
    ),
    CheckInfo(code="BN302", name="dgamma", group="gradient", claim="dgamma is the sum of dy x_hat over a channel"),
    CheckInfo(code="BN303", name="dbeta", group="gradient", claim="dbeta is the sum of dy over a channel"),
    CheckInfo(
        code="BN401", name="eval", group="modes", claim="In eval mode, y is normalized by the running statistics"
    ),
    CheckInfo(
        code="BN402", name="eval_keeps", group="modes", claim="In eval mode, the running statistics stay bit for bit"
    ),
    CheckInfo(code="BN403", name="rows", group="modes", claim="In eval mode, every row alone gives the same y"),
    CheckInfo(
        code="BN501", name="arguments", group="purity", claim="Neither the forward nor the vjp changes an argument"
    ),
    CheckInfo(code="BN502", name="bits", group="purity", claim="Two equal calls give the same bits in every output"),
    CheckInfo(code="BN503", name="vjp_again", group="purity", claim="The vjp of one call may be called again"),
    CheckInfo(code="BN601", name="shapes", group="arguments", claim="Wrong shapes are refused"),
    CheckInfo(code="BN602", name="dtypes", group="arguments", claim="Integers and mixed dtypes are refused"),
)
QUANTITIES = {"BN102": "y", "BN201": "running_mean", "BN202": "running_var", "BN301": "dx", "BN302": "dgamma"} | {
    "BN303": "dbeta",
    "BN401": "y",
}
SHAPES = ("9x5", "5x4x3", "17x3", "3x5x2x4", "4x5/{}/mean=12/sd=5", "8x7/{}/sd=0.003")
OPERATIONS = ("forward_train", "forward_eval", "backward")


def make_report(*, checks: int, shapes: int, timed_shapes: tuple[str, ...]) -> Report:
    """A report with every status. The numbers are drawn, with three digits, from a fixed seed."""
    rng = random.Random(0)  # noqa: S311 - the numbers of an example are no secret

    def draw(low: float, high: float) -> float:
        return float(f"{math.exp(rng.uniform(math.log(low), math.log(high))):.3g}")

    cases = [
        f"{dtype}/{shape.format(mode)}" if "{}" in shape else f"{dtype}/{shape}/{mode}"
        for dtype in ("float32", "float64")
        for shape in SHAPES[:shapes]
        for mode in ("train", "eval")
    ]
    # The last check of each group, so that a small report has all groups.
    chosen = CHECKS if checks == len(CHECKS) else (CHECKS[0], CHECKS[3], CHECKS[4], CHECKS[5], CHECKS[7], CHECKS[13])
    findings = [
        make_finding(info.name, check, case, draw)
        for info in IMPLEMENTATIONS
        if info.available
        for check in chosen
        for case in cases
    ]
    return Report(
        environment=ENVIRONMENT,
        implementations=IMPLEMENTATIONS,
        broken=(Broken(source="student/layers.py", error="SyntaxError: invalid syntax (layers.py, line 12)"),),
        checks=chosen,
        findings=tuple(findings),
        measurements=tuple(
            make_measurement(name, f"{dtype}/{shape}/train", operation, draw)
            for operation in OPERATIONS
            for dtype in ("float32", "float64")
            for shape in timed_shapes
            for name in ("numpy_simplified", "numpy_staged", "c_fused", "torch_native")
        ),
        selftest=SelfTest(
            rows=(
                make_selftest_row("float32/4x5/train", "small", Interval(median=1.001, low=0.994, high=1.007)),
                make_selftest_row("float32/64x128/train", "small", Interval(median=0.992, low=0.986, high=0.998)),
                make_selftest_row("float32/256x1024/train", "medium", Interval(median=1.003, low=0.985, high=1.019)),
            ),
            planted=0.05,
            boundary=1.12e-7,
            load=(0.5, 2.0),
        ),
        untimed=(
            Untimed(
                implementation="torch_composed",
                case="float32/64x128/train",
                operation="backward",
                reason="failed BN301 on float32/9x5/train: no timing without a passing verification",
            ),
            Untimed(
                implementation="numba_fused",
                case="float32/64x128/train",
                operation="forward_train",
                reason="numba is not installed: pip install 'bnbench[numba]'",
            ),
        ),
    )


def make_selftest_row(case: str, size: Literal["small", "medium"], ratio: Interval) -> SelfTestRow:
    return SelfTestRow(implementation="numpy_staged", case=case, operation="forward_train", size=size, ratio=ratio)


def make_finding(name: str, check: CheckInfo, case: str, draw: Callable[[float, float], float]) -> Finding:
    verdict, reason, comparisons = Status.PASSED, "", make_evidence(check, case, draw)
    hint = ""
    if name == "c_fused" and case.split("/")[1].count("x") not in {1, 3}:
        verdict, reason, comparisons = Status.SKIPPED, "declares ranks 2, 4", ()
    elif name == "torch_native" and check.group == "arguments":
        verdict, reason, comparisons = Status.SKIPPED, "does not declare that it validates", ()
    elif name == "torch_composed" and check.code == "BN301" and "train" in case:
        verdict, comparisons = Status.FAILED, make_evidence(check, case, draw, wrong=True)
        reason = "dx is off"
        hint = "dx lacks the term through v. Right is dvar = dsd / (2 sd)."
    elif name == "torch_composed" and check.code == "BN202" and "train" in case:
        note = "fits: momentum weighs the new batch, variance divided by M"
        verdict, comparisons = Status.FAILED, make_evidence(check, case, draw, wrong=True, note=note)
    elif name == "c_fused" and check.code == "BN302" and case.startswith("float32/9x5"):
        verdict, reason = Status.ERRORED, "MemoryError: cannot allocate 9 x 5\n  in c_fused.vjp"
        comparisons = ()
    elif name == "numpy_staged" and check.code == "BN302" and "5x4x3" in case:
        verdict = Status.VACUOUS
        comparisons = (
            Comparison(
                quantity="dgamma",
                error=0.0,
                limit=32.0,
                unit="noise units (z)",
                got=0.0,
                expected=0.0,
                index=(0,),
                relative=0.0,
                trivial=True,
            ),
        )
    return Finding(
        implementation=name,
        check=check.code,
        claim=check.claim,
        case=case,
        status=verdict,
        reason=reason,
        comparisons=comparisons,
        reproduce=f"bnbench check {name} --check {check.code} --case {case}",
        hint=hint,
    )


def make_evidence(
    check: CheckInfo, case: str, draw: Callable[[float, float], float], *, wrong: bool = False, note: str = ""
) -> tuple[Comparison, ...]:
    if check.code not in QUANTITIES:
        fact = "as it should be"
        return (Comparison(quantity=check.name, error=0.0, limit=0.0, unit="differences", got=fact, expected=fact),)
    expected = draw(0.1, 2.0)
    relative = draw(0.02, 0.9) if wrong else draw(1e-7, 1e-3) if case.startswith("float32") else draw(1e-11, 1e-7)
    return (
        Comparison(
            quantity=QUANTITIES[check.code],
            error=draw(1e4, 1e9) if wrong else draw(0.1, 20.0),
            limit=32.0,
            unit="noise units (z)" if check.group == "gradient" else "rounding units",
            got=expected * (1 + relative),
            expected=expected,
            index=(3, 1) if QUANTITIES[check.code] in {"y", "dx"} else (1,),
            relative=relative,
            note=note,
        ),
    )


def make_measurement(name: str, case: str, operation: str, draw: Callable[[float, float], float]) -> Measurement:
    elements = math.prod(map(int, case.split("/")[1].split("x")))
    speed = {"numpy_simplified": 1.0, "numpy_staged": 0.7, "c_fused": 5.0, "torch_native": 2.0}[name]
    ratio = 1.0 if name == "numpy_simplified" else float(f"{speed * draw(0.6, 1.6):.3g}")
    median = float(f"{(6e-6 + elements * 2e-9) / ratio:.3g}")
    return Measurement(
        implementation=name,
        case=case,
        operation=operation,  # type: ignore[arg-type]  # one of OPERATIONS
        seconds=Interval(median=median, low=median * 0.98, high=median * 1.03),
        baseline="numpy_simplified",
        ratio=Interval(median=ratio, low=ratio * 0.96, high=ratio * 1.05),
        gigabytes_per_second=float(f"{elements * 8 / median / 1e9:.3g}"),
        faults_per_call=0.0,
        rounds=52,
        calls_per_round=100,
        relative_error=draw(1e-7, 1e-6) if case.startswith("float32") else draw(1e-16, 1e-14),
        hard_error=draw(1e-4, 1e-2) if case.startswith("float32") else None,
        reproduce=f"bnbench time {name} --case {case} --operation {operation}",
    )


@pytest.fixture(scope="session")
def report() -> Report:
    """Small enough that its golden files can be read."""
    return make_report(checks=6, shapes=2, timed_shapes=("4x5", "64x128"))


@pytest.fixture(scope="session")
def large_report() -> Report:
    """As large as a full run."""
    shapes = ("4x5", "64x128", "100x500", "256x1024", "128x16x28", "16x32x14x14", "8x16x32x32")
    return make_report(checks=len(CHECKS), shapes=6, timed_shapes=shapes)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite-golden", action="store_true", help="write the golden files instead of comparing")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare a text with a golden file; with --rewrite-golden, write it."""
    # The option is unknown when pytest was not started on this folder.
    rewrite = request.config.getoption("--rewrite-golden", default=False)

    def compare(name: str, text: str) -> None:
        file = GOLDEN / name
        if rewrite:
            file.write_text(text, encoding="utf-8", newline="\n")
        assert text == file.read_text(encoding="utf-8")

    return compare


@pytest.fixture(scope="session")
def empty_report() -> Report:
    return Report(environment=ENVIRONMENT)


HOSTILE = ("<script>alert(1)</script>", "a|b`c", "line\nbreak", "=cmd()", "[red]x[/red]", "\x1b[2J\u202e\udc80", "")


@pytest.fixture(scope="session")
def hostile_report() -> Report:
    """Every text field holds every hostile text, and every number is of the kind that breaks formatting."""
    bad = Interval(median=math.nan, low=-math.inf, high=math.inf)
    findings = tuple(
        Finding(
            implementation=text,
            check=text,
            claim=text,
            case=text,
            status=status,
            reason=text,
            comparisons=tuple(
                Comparison(
                    quantity=text,
                    error=value,
                    limit=value,
                    unit=text,
                    got=text if value == 0 else value,
                    expected=text if value == 0 else value,
                    index=(0, 1),
                    relative=value,
                    note=text,
                )
                for value in (math.nan, math.inf, -math.inf, 0.0)
            ),
            reproduce=text,
            hint=text,
        )
        for text in HOSTILE
        for status in Status
    )
    measurements = tuple(
        Measurement(
            implementation=text,
            case=text if value != 1.0 else "float64/4x5/train",
            operation="backward",
            seconds=replace(bad, median=value),
            baseline=text,
            ratio=replace(bad, median=value),
            gigabytes_per_second=value,
            faults_per_call=value,
            rounds=0,
            calls_per_round=0,
            relative_error=value,
            hard_error=value,
            reproduce=text,
        )
        for text in HOSTILE
        for value in (math.nan, math.inf, 0.0, 1.0)
    )
    return Report(
        environment=replace(ENVIRONMENT, cpu=HOSTILE[0], versions=dict.fromkeys(HOSTILE, HOSTILE[1])),
        implementations=tuple(
            ImplementationInfo(
                name=text, summary=text, capabilities=Capabilities(dtypes=HOSTILE), available=False, reason=text
            )
            for text in HOSTILE
        ),
        broken=tuple(Broken(source=text, error=text) for text in HOSTILE),
        checks=tuple(CheckInfo(code=text, name=text, group=text, claim=text) for text in HOSTILE),
        findings=findings,
        measurements=measurements,
        selftest=SelfTest(
            rows=tuple(
                SelfTestRow(implementation=text, case=text, operation="backward", size="large", ratio=bad, slowed=bad)
                for text in HOSTILE
            ),
            planted=math.nan,
            boundary=math.inf,
            load=(math.nan, -math.inf),
        ),
        untimed=tuple(Untimed(implementation=text, case=text, operation=text, reason=text) for text in HOSTILE),
    )
