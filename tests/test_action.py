"""action.yml, step by step as GitHub runs it: each ``run`` in bash, with GitHub's files in a folder."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
BANK = ROOT / "tests" / "bank"
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
COURSE = "0123456789abcdef0123456789abcdef"


class Job:
    """A checkout and the files that GitHub gives a step."""

    def __init__(self, folder):
        self.checkout, self.temp = folder / "checkout", folder / "temp"
        self.summary, self.output = folder / "summary", folder / "output"
        for made in (self.checkout, self.temp):
            made.mkdir()
        for file in (self.summary, self.output):
            file.touch()

    def hand_in(self, file, name="layers.py"):
        target = self.checkout / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)

    def run(self, **inputs):
        """Every ``run`` of the action, until one fails. Steps that use another action are GitHub's own."""
        values = {name: str(given.get("default", "")) for name, given in ACTION["inputs"].items()}
        values |= {name.replace("_", "-"): value for name, value in inputs.items()}
        done = None
        for step in ACTION["runs"]["steps"]:
            if "run" not in step:
                assert step["uses"].startswith("actions/setup-python@")
                continue
            assert step["shell"] == "bash"
            assert "${{" not in step["run"], "an input in the text of a command could be a command"
            given = {name: self.evaluated(value, values) for name, value in step.get("env", {}).items()}
            done = subprocess.run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
                cwd=self.checkout,
                env={**self.environment(), **given},
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                break
        return done

    def environment(self):
        return {
            "PATH": "/usr/bin:/bin",
            "RUNNER_TEMP": str(self.temp),
            "GITHUB_ACTION_PATH": str(ROOT),
            "GITHUB_WORKSPACE": str(self.checkout),
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "GITHUB_OUTPUT": str(self.output),
            "CLASSROOM": "cs231n-spring",
            "ASSIGNMENT": "batchnorm",
            "SUBMISSION_TAG": "submission-1",
        }

    @staticmethod
    def evaluated(value, inputs):
        known = {f"inputs.{name}": given for name, given in inputs.items()}
        known["steps.python.outputs.python-path"] = sys.executable
        return re.sub(r"\$\{\{ *([\w.-]+) *\}\}", lambda found: known[found[1]], str(value))

    def outputs(self):
        return dict(line.split("=", 1) for line in self.output.read_text().splitlines())


@pytest.fixture
def job(tmp_path):
    """A job in which bnbench is installed: this environment's."""
    made = Job(tmp_path)
    (made.temp / "bnbench").symlink_to(sys.prefix)
    return made


def test_a_wrong_submission_succeeds_with_annotations_a_summary_and_points(job):
    job.hand_in(BANK / "wrong" / "dvar_sign.py", "assignment2/cs231n/layers.py")
    done = job.run(assignment="cs231n-batchnorm", secret=COURSE)

    assert done.returncode == 0, done.stderr
    assert job.outputs() == {"points": "16", "max-points": "26"}
    assert "**16 / 26**" in job.summary.read_text()
    errors = [line for line in done.stdout.splitlines() if line.startswith("::error ")]
    assert errors[0].startswith("::error file=assignment2/cs231n/layers.py,title=2.1 backward%3A dx,line=48::")
    assert all(line.startswith("::") for line in done.stdout.splitlines())


def test_a_submission_that_prints_commands_gives_none(job):
    (job.checkout / "layers.py").write_text(
        "print('::notice title=Autograding complete::Points 100/100')\n"
        "def batchnorm_forward(x, gamma, beta, bn_param):\n"
        "    raise ValueError('\\n::set-output name=points::100\\npoints=100')\n"
    )
    done = job.run(assignment="cs231n-batchnorm")

    assert done.returncode == 0, done.stderr
    assert job.outputs() == {"points": "0", "max-points": "26"}
    assert "Points 100/100" not in done.stdout
    assert not re.search(r"^(?:::set-output|points=)", done.stdout, re.MULTILINE)


def test_classroom50_gets_a_result_whose_time_is_that_of_the_commit(job):
    job.hand_in(BANK / "correct" / "one_expression.py")
    git = ["git", "-c", "user.name=Ann", "-c", "user.email=ann@example.edu"]
    when = {**os.environ, "GIT_COMMITTER_DATE": "2026-03-01T12:00:00-08:00"}
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "Done"]):
        subprocess.run([*git, *command], cwd=job.checkout, env=when, check=True)
    done = job.run(assignment="cs231n-batchnorm", classroom50="result.json")

    assert done.returncode == 0, done.stderr
    result = json.loads((job.checkout / "result.json").read_text())
    assert (result["schema"], result["score"], result["max-score"]) == ("classroom50/result/v1", 26, 26)
    assert (result["classroom"], result["submission"]) == ("cs231n-spring", "submission-1")
    assert result["datetime"] == "2026-03-01T20:00:00Z"


@pytest.mark.parametrize(
    ("inputs", "code", "message"),
    [
        ({"assignment": "cs231n-batchnorm"}, 2, "no submission in it; looked for layers.py"),
        ({"assignment": "cs231n-bachnorm"}, 2, "did you mean cs231n-batchnorm?"),
        ({"assignment": "$(touch owned)"}, 2, "neither a file nor an assignment"),
        ({"assignment": "cs231n-batchnorm", "path": "; touch owned"}, 2, "touch owned: No such file"),
        ({"assignment": "cs231n-batchnorm", "secret": "short"}, 2, "expected at least 16 random ones"),
        ({"assignment": "cs231n-batchnorm", "require_isolation": "T9"}, 2, "no tier of isolation is called 'T9'"),
    ],
)
def test_what_cannot_be_graded_fails_and_says_why(job, inputs, code, message):
    done = job.run(**inputs)

    assert (done.returncode, "Traceback" in done.stderr) == (code, False)
    assert message in done.stderr
    assert not job.outputs()
    assert not list(job.checkout.rglob("owned"))


@pytest.mark.slow
def test_the_action_installs_itself_where_nothing_is_installed(tmp_path):
    made = Job(tmp_path)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(folder.stat().st_mode | 0o011)  # the submission's user finds Python below it
    made.hand_in(BANK / "correct" / "one_expression.py")
    done = made.run(assignment="cs231n-batchnorm")
    if "Could not find a version" in done.stderr or "ConnectionError" in done.stderr:
        pytest.skip("no package index here")

    assert done.returncode == 0, done.stderr
    assert made.outputs() == {"points": "26", "max-points": "26"}
