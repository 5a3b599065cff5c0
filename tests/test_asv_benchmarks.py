import json
import math
import re
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from bnbench.asv_benchmarks import batch_norm
from bnbench.cases import case_id, parse_case
from bnbench.model import Implementation
from bnbench.registry import Registry

ROOT = Path(__file__).parent.parent
CONFIGURATION = json.loads((ROOT / "asv.conf.json").read_text())
AVAILABLE = [name for name in batch_norm.NAMES if not Registry.missing(batch_norm.REGISTRY.implementations[name])]


@pytest.mark.parametrize("name", AVAILABLE)
def test_every_benchmark_runs(name):
    for method, case in product(("time_forward_train", "time_forward_eval", "time_backward"), batch_norm.SPEED_CASES):
        getattr(batch_norm.Speed(), method)(name, case)
    batch_norm.Memory().peakmem_forward_and_backward(name, "float32/3x4x2x2/train")
    for case in batch_norm.SPEED_CASES:
        assert batch_norm.Error().track_relative_error(name, case) < 1e-4


def test_hard_case_separates_accurate_from_inaccurate_implementations(monkeypatch):
    simplified = batch_norm.loaded("numpy_simplified")

    def cancelling(x, *arrays, **options):
        """Var(x) = E[x^2] - E[x]^2, computed in float32."""
        y, running, vjp = simplified(x, *arrays, **options)
        variance = (x * x).mean(0) - x.mean(0) ** 2
        return y * (x.var(0) / np.maximum(variance, 1e-6)) ** 0.5, running, vjp

    monkeypatch.setattr(batch_norm, "loaded", {"cancelling": cancelling, "simplified": simplified}.get)
    error = batch_norm.Error().track_relative_error
    assert error("cancelling", batch_norm.HARD_CASE) > 100 * error("simplified", batch_norm.HARD_CASE)


def test_nan_is_tracked_as_nan(monkeypatch):
    simplified = batch_norm.loaded("numpy_simplified")

    def broken(*arrays, training, **options):
        y, running, vjp = simplified(*arrays, training=training, **options)
        return y if training else y * math.nan, running, vjp

    monkeypatch.setattr(batch_norm, "loaded", lambda _: broken)
    assert math.isnan(batch_norm.Error().track_relative_error("broken", "float64/9x5/train"))


def test_unavailable_implementation_is_skipped(monkeypatch):
    mark = pytest.importorskip("asv_runner.benchmarks.mark")
    absent = Implementation(name="absent", load=lambda: pytest.fail("loaded"), requires={"no_such_module": "nothing"})
    monkeypatch.setattr(batch_norm, "REGISTRY", Registry(implementations={"absent": absent}))
    with pytest.raises(mark.SkipNotImplemented, match="no_such_module is not installed"):
        batch_norm.Speed().time_backward("absent", "float32/4x5/train")


def test_parameters_are_names_and_case_ids_that_parse_back():
    for benchmark in (batch_norm.Speed, batch_norm.Memory, batch_norm.Error):
        names, cases = benchmark.params
        declared = batch_norm.REGISTRY.implementations
        assert list(names) == [name for name in declared if declared[name].capabilities.norm == "batch"]
        assert [case_id(parse_case(case)) for case in cases] == list(cases)


def test_asv_times_many_calls_per_sample():
    time = pytest.importorskip("asv_runner.benchmarks.time")
    speed = batch_norm.Speed()
    benchmark = time.TimeBenchmark("speed", speed.time_forward_train, [speed.time_forward_train, speed, batch_norm])
    benchmark.set_param_idx(list(product(*batch_norm.Speed.params)).index(("numpy_simplified", "float32/4x5/train")))
    assert not benchmark.do_setup()
    benchmark.warmup_time, benchmark.repeat = 0, 1
    assert benchmark.do_run()["number"] > 1


DISCOVERY = """
import json, sys
from asv_runner._aux import update_sys_path
from asv_runner.discovery import disc_benchmarks
def packages():
    return {name.partition(".")[0] for name, module in sys.modules.items() if "site-packages" in str(module)}
before, folder = packages(), sys.argv[1]
update_sys_path(folder)
found = [[benchmark.name, benchmark.unit] for benchmark in disc_benchmarks(folder)]
print(json.dumps([found, sorted(packages() - before)]))
"""


@pytest.fixture(scope="module")
def discovered():
    """What asv finds, and the installed packages that it imports on the way."""
    pytest.importorskip("asv_runner")
    command = [sys.executable, "-c", DISCOVERY, str(ROOT / CONFIGURATION["benchmark_dir"])]
    return json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)


def test_asv_finds_the_benchmarks(discovered):
    assert dict(discovered[0]) == {
        "batch_norm.Speed.time_forward_train": "seconds",
        "batch_norm.Speed.time_forward_eval": "seconds",
        "batch_norm.Speed.time_backward": "seconds",
        "batch_norm.Memory.peakmem_forward_and_backward": "bytes",
        "batch_norm.Error.track_relative_error": "relative error",
    }


def test_discovery_imports_only_what_the_configuration_installs_and_nothing_heavy(discovered):
    imported = {root for root in discovered[1] if not root.startswith(("_", "bnbench"))}
    assert imported <= set(CONFIGURATION["matrix"]["req"]) - {"torch", "numba"}


def test_environment_of_the_history_is_pinned_and_the_project_installed_without_dependencies():
    for versions in CONFIGURATION["matrix"]["req"].values():
        assert all(re.fullmatch(r"\d+(\.\d+)+", version) for version in versions)
        assert len(versions) == 1
    assert all("--no-deps" in command for command in CONFIGURATION["install_command"])


def test_asv_installs_the_versions_that_the_constraints_name():
    pinned = dict(re.findall(r"^([\w-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    matrix = CONFIGURATION["matrix"]["req"]

    assert matrix
    assert {name: [pinned[name]] for name in matrix} == matrix
