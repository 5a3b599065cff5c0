import json
import math
import re
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from bnbench.asv_benchmarks import _benchmarks, batch_norm, group_norm, instance_norm, layer_norm, rms_norm
from bnbench.cases import case_id, parse_case
from bnbench.model import Capabilities, Implementation
from bnbench.registry import Registry

ROOT = Path(__file__).parent.parent
CONFIGURATION = json.loads((ROOT / "asv.conf.json").read_text())
MODULES = {"batch": batch_norm, "layer": layer_norm, "group": group_norm, "instance": instance_norm, "rms": rms_norm}
DECLARED = _benchmarks.REGISTRY.implementations
RECORDED = [name for norm in MODULES for name in _benchmarks.names(norm)]
AVAILABLE = [name for name in RECORDED if not Registry.missing(DECLARED[name])]


@pytest.mark.parametrize("name", AVAILABLE)
def test_every_benchmark_runs(name):
    norm = DECLARED[name].capabilities.norm
    module = MODULES[norm]
    methods = [method for method in dir(module.Speed) if method.startswith("time_")]
    cases = [case for case in module.Speed.params[1] if made_for(name, case)]
    assert cases
    for method, case in product(methods, cases):
        getattr(module.Speed(), method)(name, case)
    module.Memory().peakmem_forward_and_backward(name, f"float32/3x4x2x2/{_benchmarks.MODES[norm]}")
    for case in cases:
        assert module.Error().track_relative_error(name, case) < 1e-4


def made_for(name, case):
    return len(parse_case(case).shape) in DECLARED[name].capabilities.ranks


def test_a_case_that_an_implementation_is_not_made_for_is_skipped(monkeypatch):
    mark = pytest.importorskip("asv_runner.benchmarks.mark")
    images = Implementation(name="images", load=lambda: pytest.fail("loaded"), capabilities=Capabilities(ranks=(4,)))
    monkeypatch.setattr(_benchmarks, "REGISTRY", Registry(implementations={"images": images}))
    with pytest.raises(mark.SkipNotImplemented, match="not made for 2 dimensions"):
        batch_norm.Speed().time_backward("images", "float32/4x5/train")


def test_what_runs_on_request_alone_is_not_recorded():
    asked = {name for name, declared in DECLARED.items() if declared.on_request}
    assert asked
    assert not asked & set(RECORDED)


def test_only_batch_norm_is_timed_in_both_modes():
    assert {norm for norm, module in MODULES.items() if hasattr(module.Speed, "time_forward_eval")} == {"batch"}


def test_hard_case_separates_accurate_from_inaccurate_implementations(monkeypatch):
    simplified = _benchmarks.loaded("numpy_simplified", "float32/4x5/train")

    def cancelling(x, *arrays, **options):
        """Var(x) = E[x^2] - E[x]^2, computed in float32."""
        y, running, vjp = simplified(x, *arrays, **options)
        variance = (x * x).mean(0) - x.mean(0) ** 2
        return y * (x.var(0) / np.maximum(variance, 1e-6)) ** 0.5, running, vjp

    known = {"cancelling": cancelling, "simplified": simplified}
    monkeypatch.setattr(_benchmarks, "loaded", lambda name, _: known[name])
    error = batch_norm.Error().track_relative_error
    hard = batch_norm.Error.params[1][-1]
    assert error("cancelling", hard) > 100 * error("simplified", hard)


def test_nan_is_tracked_as_nan(monkeypatch):
    simplified = _benchmarks.loaded("numpy_simplified", "float32/4x5/train")

    def broken(*arrays, training, **options):
        y, running, vjp = simplified(*arrays, training=training, **options)
        return y if training else y * math.nan, running, vjp

    monkeypatch.setattr(_benchmarks, "loaded", lambda *_: broken)
    assert math.isnan(batch_norm.Error().track_relative_error("broken", "float64/9x5/train"))


def test_unavailable_implementation_is_skipped(monkeypatch):
    mark = pytest.importorskip("asv_runner.benchmarks.mark")
    absent = Implementation(name="absent", load=lambda: pytest.fail("loaded"), requires={"no_such_module": "nothing"})
    monkeypatch.setattr(_benchmarks, "REGISTRY", Registry(implementations={"absent": absent}))
    with pytest.raises(mark.SkipNotImplemented, match="no_such_module is not installed"):
        batch_norm.Speed().time_backward("absent", "float32/4x5/train")


@pytest.mark.parametrize("norm", MODULES)
def test_parameters_are_names_and_case_ids_that_parse_back(norm):
    module = MODULES[norm]
    for benchmark in (module.Speed, module.Memory, module.Error):
        names, cases = benchmark.params
        assert list(names) == [name for name in RECORDED if DECLARED[name].capabilities.norm == norm]
        assert len(names) >= 3
        assert [case_id(parse_case(case)) for case in cases] == list(cases)
        assert {parse_case(case).norm for case in cases} == {norm}


@pytest.mark.parametrize("seconds", [0.0, 0.2])
def test_asv_times_many_calls_per_sample_however_long_the_first_call_takes(monkeypatch, seconds):
    asv_time = pytest.importorskip("asv_runner.benchmarks.time")
    simplified = _benchmarks.loaded("numpy_simplified", "float32/4x5/train")

    def slow_to_load(*_):
        time.sleep(seconds)  # as an import of torch
        return simplified

    monkeypatch.setattr(_benchmarks, "loaded", slow_to_load)
    _benchmarks.bound.cache_clear()
    speed = batch_norm.Speed()
    benchmark = asv_time.TimeBenchmark("speed", speed.time_forward_train, [speed.time_forward_train, speed, batch_norm])
    benchmark.set_param_idx(list(product(*batch_norm.Speed.params)).index(("numpy_simplified", "float32/4x5/train")))
    assert not benchmark.do_setup()
    samples = benchmark.do_run()
    _benchmarks.bound.cache_clear()

    assert samples["number"] > 1
    assert len(samples["samples"]) == benchmark.repeat
    assert benchmark.timer is time.process_time, "a busy machine must not count"


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
    timed = ("time_forward_train", "time_backward")
    expected = {f"{norm}_norm.Speed.{method}": "seconds" for norm in MODULES for method in timed}
    expected |= {f"{norm}_norm.Memory.peakmem_forward_and_backward": "bytes" for norm in MODULES}
    expected |= {f"{norm}_norm.Error.track_relative_error": "relative error" for norm in MODULES}

    assert dict(discovered[0]) == {**expected, "batch_norm.Speed.time_forward_eval": "seconds"}


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
