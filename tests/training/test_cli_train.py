"""``bnbench train``: what it prints and writes, what it refuses, and that a killed run goes on."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from bnbench.cli import app
from bnbench.training.session import EXPERIMENTS

pytest.importorskip("torch")
pytest.importorskip("sklearn")

MEASURED = {"seconds_per_step", "environment", "conclusion"}
"""What differs between two runs of the same numbers: times, the tables of times, and when it was."""


def bnbench(*arguments):
    return CliRunner().invoke(app, ["train", *map(str, arguments)])


def numbers(folder):
    def kept(value):
        if isinstance(value, dict):
            return {k: kept(v) for k, v in value.items() if k not in MEASURED}
        return [kept(v) for v in value] if isinstance(value, list) else value

    return kept(json.loads((folder / "results.json").read_text()))


def test_the_list_names_every_experiment():
    result = bnbench("--list")
    assert result.exit_code == 0
    listed = [line.split()[0] for line in result.stdout.splitlines() if not line.startswith(" ")]
    assert listed == ["experiment", *EXPERIMENTS]


def test_an_experiment_writes_its_report_and_prints_its_numbers(tmp_path):
    result = bnbench("accumulation", "--seeds", 2, "--output", tmp_path / "new")
    assert result.exit_code == 0
    assert sorted(file.name for file in (tmp_path / "new").iterdir()) == ["curves.csv", "index.html", "results.json"]
    assert "holds" not in result.stdout
    assert result.stdout.count("✓") == 3


def test_a_claim_that_does_not_hold_is_exit_code_1(tmp_path):
    result = bnbench("fc-digits", "--seeds", 1, "--steps", 1, "--output", tmp_path, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["conclusion"]["claims"][0]["holds"] is False


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fc-digit"], "did you mean fc-digits?"),
        (["fc-digits", "--implementation", "numpy_stage"], "did you mean numpy_staged?"),
        (["fc-digits", "--implementation", "numpy_layer_norm"], "is no batch norm"),
        (["fc-digits", "--data", "nowhere"], "data_batch_1"),
    ],
)
def test_bad_input_is_refused_with_a_hint(arguments, words, tmp_path):
    result = bnbench(*arguments, "--output", tmp_path)
    assert result.exit_code == 2
    assert words in result.output


@pytest.mark.slow
def test_a_killed_run_is_resumed_to_the_same_numbers(tmp_path):
    command = [sys.executable, "-m", "bnbench", "train", "fc-digits", "--seeds", "1", "--steps", "110", "--quiet"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run([*command, "--output", whole], check=False, env=os.environ)
    process = subprocess.Popen([*command, "--output", killed])
    while process.poll() is None and len(list((killed / "checkpoints").glob("*.json"))) < 2:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    left = sorted(file.name for file in (killed / "checkpoints").iterdir())
    subprocess.run([*command, "--output", killed, "--resume"], check=False, env=os.environ)

    assert left
    assert not (killed / "checkpoints").exists()
    assert numbers(killed) == numbers(whole)
