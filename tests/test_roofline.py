"""The page on the fused kernels: that it measures what it says, and judges targets as they are."""

from dataclasses import replace

import numpy as np
import pytest

from bnbench.model import Interval, SelfTest
from bnbench.policy import environment
from bnbench.registry import discover
from bnbench.report.charts.memory import memory_charts
from bnbench.report.roofline import (
    AccuracyRow,
    DeviceRow,
    NumpyRow,
    Roofline,
    RooflineRow,
    best_of_torch,
    geometric_mean,
    roofline_markdown,
)
from bnbench.roofline import roofline

REGISTRY = discover()
MISSING = [reason for n in ("c_fused", "torch_native") if (reason := REGISTRY.missing(REGISTRY.implementations[n]))]


def interval(value):
    return Interval(median=value, low=value * 0.9, high=value * 1.1)


def row(ratio=5.0, fraction=0.7, *, shape=(64, 128), operation="forward_train", **changes):
    seconds = {"torch": ratio, "c_fused": 1.0, "plain": fraction, "streamed": 1.0, "torch_channels_last": ratio / 2}
    found = RooflineRow(
        shape=shape,
        dtype="float32",
        operation=operation,
        threads=1,
        seconds=seconds,
        ratios={name: interval(ratio / time) for name, time in seconds.items()},
        fraction=interval(fraction),
    )
    return replace(found, **changes)


def lines(found, start):
    page = roofline_markdown(found)
    return [line for line in page.splitlines() if line.startswith("|") and start in line]


def test_geometric_mean_of_ratios():
    assert geometric_mean([2, 8]) == pytest.approx(4)


def test_the_fastest_of_torch_counts():
    assert best_of_torch(row(6.0)) == pytest.approx(3)


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        ((5.0, 5.0), "| met |"),
        ((4.0, 4.0), "| missed by 11% |"),
        ((40.0, 1.0), "| floor missed by 20% |"),
        ((float("nan"), 5.0), "| not resolved"),
    ],
)
def test_a_target_is_met_by_the_mean_and_the_lowest_or_missed_by_a_figure(ratios, verdict):
    found = Roofline(environment=environment(), rows=[row(r, shape=(n, 5)) for n, r in enumerate(ratios)])
    (line,) = lines(found, "c_fused against torch, float32, forward, train, threads: 1")
    assert verdict in line


def test_a_mean_of_ratios_that_are_hardly_known_judges_nothing():
    unsure = replace(row(), ratios={"torch": interval(1.0), "c_fused": Interval(median=9.0, low=1.0, high=50.0)})
    (line,) = lines(Roofline(environment=environment(), rows=[unsure]), "threads: 1")
    assert "not resolved" in line


@pytest.mark.parametrize(("errors", "verdict"), [((1e-7,) * 4, "met"), ((1e-7, 2e-6, 0, 0), "missed")])
def test_an_error_beyond_the_limit_misses_the_target(errors, verdict):
    accuracy = [AccuracyRow(implementation="c_fused", data="mean 1e6, variance 1, N = 1024", errors=errors)]
    (line,) = lines(Roofline(environment=environment(), accuracy=accuracy), "largest error of c_fused")
    assert line.endswith(f"| {verdict} |")


def test_an_error_that_is_nan_misses_the_target():
    accuracy = [AccuracyRow(implementation="c_fused", data="mean 0", errors=(0, np.nan, 0, 0))]
    (line,) = lines(Roofline(environment=environment(), accuracy=accuracy), "largest error of c_fused")
    assert line.endswith("| missed |")


@pytest.mark.parametrize(("seconds", "verdict"), [(0.4, "met"), (0.6, "missed by 20%"), (float("nan"), "missed by")])
def test_kernels_are_loaded_from_the_cache_in_time_or_the_target_is_missed(seconds, verdict):
    found = Roofline(environment=environment(), loading={"compiled": 9.0, "from the cache": seconds})
    (line,) = lines(found, "loaded from the cache")
    assert verdict in line
    assert lines(found, "| compiled | 9.00 s |")


def test_every_row_and_the_machine_stand_on_the_page():
    found = Roofline(
        environment=environment("as it is"),
        selftest=SelfTest(rows=(), planted=0.05, boundary=1e-7, load=(0.5, 2.0)),
        rows=[row(), row(operation="backward"), row(dtype="float64", shape=(8, 3, 224, 224))],
        numpy=[NumpyRow(shape=(4, 5), operation="backward", ratio=interval(3.0))],
        overhead={"a call": 1.5e-6},
    )
    page = roofline_markdown(found)
    assert "Allocator: as it is." in page
    assert "A timed call includes 100 ns of bnbench. Load: 0.5, 2.0." in page
    assert "| 8x3x224x224 | 5000000 | 1000000 | 5.00 (4.50 to 5.50) | 700000 | 0.70 (0.63 to 0.77) |" in page
    assert "| 4x5 | 3.00 (2.70 to 3.30) |" in page
    assert "| a call | 1.50 µs |" in page
    assert page.count("| geometric mean |") == 4


@pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING))
@pytest.mark.parametrize("threads", [1, 2])
def test_a_small_measurement_has_every_column(threads):
    seen = []
    found = roofline(
        REGISTRY,
        environment(),
        shapes=[(16, 8), (4, 3, 5, 5)],
        settings=[("float32", threads)],
        budget=0.01,
        compiling=False,
        progress=lambda done, total, doing: seen.append((done, total, doing)),
    )
    assert [done for done, _, _ in seen] == list(range(6))
    assert seen[-1][2] == f"backward float32 4x3x5x5, threads: {threads}"
    for one in found.rows:
        assert {"torch", "c_fused", "plain", "streamed"} <= set(one.seconds)
        assert ("torch_channels_last" in one.seconds) == (len(one.shape) == 4)
        assert ("torch_out" in one.seconds) == (one.operation != "backward")
        numba = not REGISTRY.missing(REGISTRY.implementations["numba_fused"])
        assert ("numba_fused" in one.seconds) == (threads == 1 and numba)
        assert one.ratios["torch"].median == 1
        assert all(seconds > 0 for seconds in one.seconds.values())
    own = [error for one in found.accuracy if one.implementation == "c_fused" for error in one.errors]
    assert 0 < max(own) <= 5e-6
    assert len(found.numpy) == 4
    assert [(each.implementation, each.size) for each in found.selftest.rows] == [("c_fused", "small")]
    assert set(found.overhead) == {
        f"c_fused {operation} {shape} float32"
        for operation in ("forward_train", "backward")
        for shape in ("4x5", "64x128")
    }


def test_without_what_is_compared_there_is_no_page(monkeypatch):
    monkeypatch.setattr(type(REGISTRY), "missing", lambda *_: "it is not there")
    with pytest.raises(RuntimeError, match="torch_native: it is not there"):
        roofline(REGISTRY, environment(), progress=lambda *_: None)


def test_the_chart_has_every_rate_and_the_memory_s_own_above():
    found = Roofline(
        environment=environment("none"),
        rows=[row(shape=(64, 128)), row(shape=(256, 1024)), row(shape=(256, 1024), operation="backward")],
    )
    ((dtype, threads, chart),) = memory_charts(found)
    points = chart.spec["data"]["values"]
    ceiling = {(point["panel"], point["elements"]): point["rate"] for point in points if "implementation" not in point}

    assert (dtype, threads) == ("float32", 1)
    assert "c_fused reaches 70% of the speed of the memory alone" in chart.finding
    assert ceiling["forward, train", 8192] == pytest.approx(2 * 4 * 8192 / 0.7 / 1e9)
    assert ceiling["backward", 262144] == pytest.approx(3 * 4 * 262144 / 0.7 / 1e9)
    assert {point["implementation"] for point in points if "implementation" in point} == {
        "torch", "c_fused", "torch_channels_last",
    }  # fmt: skip
    assert f"]({chart.name}.svg)" in roofline_markdown(found, {(dtype, threads): f"![x]({chart.name}.svg)"})


def test_rows_of_a_gpu_are_shown_and_their_absence_explained():
    found = DeviceRow(
        device="A GPU",
        shape=(8, 3, 4, 4),
        operation="backward",
        seconds={"torch": 2e-5, "memory": 1e-5},
        ratios={"torch": interval(1.0), "torch_channels_last": interval(0.5)},
        fraction=interval(0.5),
    )
    page = roofline_markdown(Roofline(environment=environment(), device=[found]))
    assert "## On A GPU, float32" in page
    assert "| 8x3x4x4 | 20 | 10 | 0.50 (0.45 to 0.55) | 0.50 (0.45 to 0.55) |" in page
    page = roofline_markdown(Roofline(environment=environment(), no_device="there is no NVIDIA driver"))
    assert "Skipped: there is no NVIDIA driver." in page


@pytest.mark.parametrize(("fraction", "verdict"), [(0.85, "met"), (0.42, "missed by 50%")])
def test_the_fraction_of_a_single_shape_on_two_threads(fraction, verdict):
    rows = [row(fraction=fraction, shape=(32, 64, 56, 56), threads=2), row(shape=(64, 128), threads=2)]
    (line,) = lines(Roofline(environment=environment(), rows=rows), "(32, 64, 56, 56)")
    assert line.endswith(f"| {fraction:.2f} | 0.84 | {verdict} |")
