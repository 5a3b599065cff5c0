"""The autograder that is uploaded to Gradescope, run in a tree laid out like Gradescope's."""

from __future__ import annotations

import io
import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import jsonschema
import pytest

from bnbench.grading.assignment import shipped_text
from bnbench.grading.autograder import AutograderError, build_autograder

ROOT = Path(__file__).resolve().parent.parent
BANK = ROOT / "tests" / "bank"
SCHEMA = json.loads((ROOT / "docs" / "gradescope.schema.json").read_text())
METADATA = {
    "id": 1,
    "created_at": "2026-03-03T12:00:00.000000-08:00",
    "assignment": {"due_date": "2026-03-01T12:00:00.000000-08:00", "title": "Batch norm", "total_points": "26.0"},
    "submission_method": "upload",
    "users": [{"email": "ann@example.edu", "id": 1, "name": "Ann"}],
    "previous_submissions": [],
}
RIGHT = BANK / "correct" / "one_expression.py"
WRONG = BANK / "wrong" / "dvar_sign.py"


def bnbench(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "bnbench", *map(str, arguments)], capture_output=True, text=True, check=False, **options
    )


def unpack(archive, folder):
    """As unzip does: with the modes that the archive has."""
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            target = Path(opened.extract(info, folder))
            target.chmod(info.external_attr >> 16 & 0o777)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """A real autograder.zip, whose assignment takes a quarter off for every day."""
    folder = tmp_path_factory.mktemp("build")
    text = shipped_text("cs231n-batchnorm").replace("percent_per_day = 0.0", "percent_per_day = 25.0")
    (folder / "late.toml").write_text(text)
    built = bnbench("gradescope", "build", "-a", folder / "late.toml", "-o", folder / "autograder.zip", "--no-diagnose")
    assert built.returncode == 0, built.stderr
    return folder / "autograder.zip"


@pytest.fixture
def autograder(archive, tmp_path):
    """Gradescope's tree after setup.sh, with this environment's bnbench for the one that setup.sh installs."""
    root = tmp_path / "autograder"
    for name in ("source", "submission", "results"):
        (root / name).mkdir(parents=True)
    unpack(archive, root / "source")
    shutil.copy(root / "source" / "run_autograder", root / "run_autograder")
    (root / "submission_metadata.json").write_text(json.dumps(METADATA))
    (root / "venv").symlink_to(sys.prefix)
    return root


def run(root, **environment):
    return subprocess.run(
        [root / "run_autograder"],
        cwd=root,
        env={"PATH": "/usr/bin:/bin", "BNBENCH_AUTOGRADER": str(root), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def results(root):
    read = json.loads((root / "results" / "results.json").read_text())
    jsonschema.validate(read, SCHEMA)
    return read


def test_a_late_submission_is_graded_and_its_results_fit_the_schema(autograder):
    shutil.copy(RIGHT, autograder / "submission" / "layers.py")
    done = run(autograder)

    assert done.returncode == 0, done.stderr
    read = results(autograder)
    assert read["score"] == 13
    assert "2 days late: 50 % off" in read["output"]
    assert {test["status"] for test in read["tests"]} == {"passed"}
    assert sum(test["max_score"] for test in read["tests"]) == 26


def test_the_same_submission_has_the_same_results_to_the_byte(autograder):
    shutil.copy(WRONG, autograder / "submission" / "layers.py")
    written = []
    for _ in range(2):
        assert run(autograder).returncode == 0
        written.append((autograder / "results" / "results.json").read_bytes())

    assert written[0] == written[1]
    failed = [test["number"] for test in json.loads(written[0])["tests"] if test.get("status") == "failed"]
    assert "2.1" in failed


@pytest.mark.parametrize(
    "name",
    ["$(touch owned).py", "`touch owned`/layers.py", "-rf.py", "a\nb/layers.py", "::error::x/layers.py", "ü\x1b[2J.py"],
)
def test_a_hostile_file_name_is_only_a_name(autograder, name):
    target = autograder / "submission" / name
    target.parent.mkdir(exist_ok=True)
    shutil.copy(RIGHT, target)
    done = run(autograder)

    assert done.returncode == 0, done.stderr
    read = results(autograder)
    assert read["score"] == 13
    assert "\x1b" not in json.dumps(read)
    assert not list(autograder.rglob("owned"))


def test_a_submission_without_the_file_is_told_so(autograder):
    (autograder / "submission" / "notes.txt").write_text("hello")
    done = run(autograder)

    assert done.returncode == 0, done.stderr
    read = results(autograder)
    assert read["score"] == 0
    assert "layers.py" in read["tests"][0]["output"]
    assert read["tests"][0]["tags"] == ["missing"]


def test_a_link_to_the_secret_is_not_followed(autograder):
    (autograder / "submission" / "layers.py").symlink_to(autograder / "source" / "secret")
    done = run(autograder)

    secret = (autograder / "source" / "secret").read_text().strip()
    assert secret not in (autograder / "results" / "results.json").read_text() + done.stdout + done.stderr
    assert results(autograder)["score"] == 0


def test_trouble_of_the_grader_leaves_no_results_and_is_no_zero(autograder):
    shutil.copy(RIGHT, autograder / "submission" / "layers.py")
    (autograder / "results" / "results.json").write_text("{}")
    (autograder / "source" / "secret").write_text("")
    done = run(autograder)

    assert done.returncode == 2
    assert "expected at least 16 random ones" in done.stderr
    assert not (autograder / "results" / "results.json").exists()
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="Gradescope runs as root, who gives submissions a user of their own")
def test_the_submission_runs_as_another_user_who_cannot_read_the_source(autograder):
    spy = f"""import os
def batchnorm_forward(x, gamma, beta, bn_param):
    readable = os.access({str(autograder / "source" / "secret")!r}, os.R_OK)
    raise RuntimeError("uid %d, reads: %s" % (os.getuid(), readable))
"""
    (autograder / "submission" / "layers.py").write_text(spy)
    done = run(autograder)

    assert done.returncode == 0, done.stderr
    told = results(autograder)["tests"][0]["output"]
    assert "reads: False" in told
    assert "uid 0," not in told
    assert stat.S_IMODE((autograder / "source").stat().st_mode) & 0o007 == 0


def test_the_archive_is_what_gradescope_asks_for_and_the_same_bytes_every_time():
    text = shipped_text("uw-batchnorm")
    built = build_autograder(text, b"s" * 32, ("--epoch", "a b; rm -rf /"))

    assert built == build_autograder(text, b"s" * 32, ("--epoch", "a b; rm -rf /"))
    with zipfile.ZipFile(io.BytesIO(built)) as archive:
        modes = {info.filename: info.external_attr >> 16 & 0o777 for info in archive.infolist()}
        assert modes == {"setup.sh": 0o755, "run_autograder": 0o755, "assignment.toml": 0o600, "secret": 0o600}
        assert "gcc" in archive.read("setup.sh").decode()
        assert "--epoch 'a b; rm -rf /'" in archive.read("run_autograder").decode()
        for script in ("setup.sh", "run_autograder"):
            subprocess.run(["bash", "-n"], input=archive.read(script), check=True)


def test_wheels_without_bnbench_are_refused(tmp_path):
    (tmp_path / "numpy-2.0-py3-none-any.whl").write_bytes(b"")

    with pytest.raises(AutograderError, match="no wheel of bnbench"):
        build_autograder(shipped_text("uw-batchnorm"), b"s" * 32, (), list(tmp_path.glob("*.whl")))
    (tmp_path / "empty").mkdir()
    refused = bnbench("gradescope", "build", "-a", "uw-batchnorm", "--wheels", tmp_path / "empty")
    assert refused.returncode == 2
    assert "pip wheel" in refused.stderr


@pytest.mark.slow
def test_setup_installs_from_the_wheels_without_a_network(tmp_path):
    """With the real wheels of bnbench and all that it needs; made by pip, which needs a network or a cache."""
    wheels = tmp_path / "wheels"
    made = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", wheels, ROOT],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        pytest.skip(f"pip can't make the wheels here: {made.stderr.strip().splitlines()[-1]}")
    root = tmp_path / "autograder"
    for name in ("source", "submission", "results"):
        (root / name).mkdir(parents=True)
    built = bnbench(
        "gradescope", "build", "-a", "cs231n-batchnorm", "--wheels", wheels, "-o", tmp_path / "a.zip", "--no-diagnose"
    )
    assert built.returncode == 0, built.stderr
    unpack(tmp_path / "a.zip", root / "source")
    shutil.copy(root / "source" / "run_autograder", root / "run_autograder")
    offline = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, "BNBENCH_AUTOGRADER": str(root)}
    path = f"{Path(sys.executable).resolve().parent}:/usr/bin:/bin"
    setup = subprocess.run(
        [root / "source" / "setup.sh"], env={"PATH": path, **offline}, capture_output=True, text=True, check=False
    )
    assert setup.returncode == 0, setup.stdout + setup.stderr
    assert "isolation T" in setup.stdout
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(folder.stat().st_mode | 0o011)  # the submission's user finds Python below /autograder

    shutil.copy(WRONG, root / "submission" / "layers.py")
    done = run(root)
    assert done.returncode == 0, done.stdout + done.stderr
    assert results(root)["score"] == 16
