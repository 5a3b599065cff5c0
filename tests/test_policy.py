import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from bnbench import policy
from bnbench.model import Environment

ROOT = Path(__file__).parent.parent
glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator is told anything")


def _in_a_new_process(code):
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_settling_imports_no_numeric_library():
    loaded = _in_a_new_process(
        "import json, sys; from bnbench.policy import settle_process; settle_process();"
        "print(json.dumps([name for name in ('numpy', 'torch', 'numba') if name in sys.modules]))"
    )
    assert loaded == []


def test_libraries_loaded_before_and_after_get_one_thread():
    threads = _in_a_new_process(
        "import json, os\n"
        "for variable in list(os.environ):\n"
        "    if variable.endswith('_NUM_THREADS'): del os.environ[variable]\n"
        "import numpy, threadpoolctl\n"
        "from bnbench.policy import environment, settle_process\n"
        "settle_process()\n"
        "libraries = [pool['num_threads'] for pool in threadpoolctl.threadpool_info()]\n"
        "try:\n"
        "    import numba; libraries.append(numba.get_num_threads())\n"
        "except ImportError: pass\n"
        "print(json.dumps([environment().threads, *libraries]))"
    )
    assert set(threads) == {1}


@pytest.mark.slow
def test_torch_loaded_before_gets_one_thread():
    pytest.importorskip("torch")
    threads = _in_a_new_process(
        "import json, torch; torch.set_num_threads(3)\n"
        "from bnbench.policy import environment, settle_process\n"
        "before = environment().threads; settle_process()\n"
        "print(json.dumps([before, environment().threads, torch.get_num_threads()]))"
    )
    assert threads == [3, 1, 1]


FAULTS_OF_A_LARGE_TEMPORARY = """
import json, resource
from bnbench.policy import settle_process
allocator = settle_process() if {settle} else ""
import numpy as np
x = np.ones(64 << 17)
for _ in range(3): x * 2.0
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10): x * 2.0
print(json.dumps([allocator, (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 10]))
"""


@glibc
def test_freed_memory_is_kept():
    _, faults_untouched = _in_a_new_process(FAULTS_OF_A_LARGE_TEMPORARY.format(settle=False))
    allocator, faults_settled = _in_a_new_process(FAULTS_OF_A_LARGE_TEMPORARY.format(settle=True))
    assert allocator == "glibc: mmap and trim thresholds raised"
    assert faults_untouched > 10
    assert faults_settled < 1


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(policy.platform, "libc_ver", lambda: ("", ""))
    assert policy._keep_freed_memory() == "untouched: not glibc"  # noqa: SLF001


def test_environment_names_the_versions_without_importing_anything():
    versions, loaded = _in_a_new_process(
        "import json, sys; from bnbench.policy import environment; record = environment();"
        "print(json.dumps([dict(record.versions), [n for n in ('torch', 'numba', 'pandas') if n in sys.modules]]))"
    )
    assert versions["numpy"]
    assert loaded == []


def test_environment_says_on_what_was_measured():
    record = policy.environment("glibc: mmap and trim thresholds raised")
    assert isinstance(record, Environment)
    assert record.allocator == "glibc: mmap and trim thresholds raised"
    assert record.created.endswith("+00:00")
    assert record.cpu
    assert record.cores >= 1
    assert record.threads >= 1


def test_version_of_what_is_not_installed_is_left_out(monkeypatch):
    monkeypatch.setattr(policy, "PACKAGES", ("numpy", "no-such-package"))
    assert list(policy.environment().versions) == ["numpy"]
