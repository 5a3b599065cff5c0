"""The command line, run as a user runs it: exit codes, messages, and files that are never half written."""

from __future__ import annotations

import json
import os
import re
import resource
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from bnbench.checks import ALL_CHECKS
from bnbench.diagnose.steps import STEPS

PLUGINS = Path(__file__).parent / "plugins"
COMMANDS = [
    "list",
    "check",
    "time",
    "run",
    "report",
    "history",
    "explain",
    "mutants",
    "rivals",
    "calibrate",
    "network",
    "exact",
    "debug",
    "doctor",
    "grade",
    "github",
    "isolation",
    "train",
    "vcurve",
    "kernels",
    "selftest",
    "scale",
    "regrade diff",
    "regrade apply",
    "assignment new",
    "assignment show",
    "assignment lint",
    "gradescope build",
]
ONE = ("--case", "float64/9x5/train")


def bnbench(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "bnbench", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
        **options,
    )


@pytest.fixture(scope="module")
def report_folder(tmp_path_factory):
    """A real run of one implementation, in its own folder."""
    folder = tmp_path_factory.mktemp("run") / "deep" / "latest"
    result = bnbench("run", "numpy_staged", "numpy_simplified", "--quick", "--budget", "0.002", "--output", folder)
    assert result.returncode == 0, result.stderr
    return folder


def test_a_correct_implementation_exits_0():
    result = bnbench("check", "numpy_staged", *ONE)

    assert result.returncode == 0, result.stdout + result.stderr
    assert "passed" in result.stdout


def test_a_broken_backward_exits_1_and_tells_everything():
    result = bnbench("check", "--plugin", PLUGINS / "broken_backward.py", *ONE)

    assert result.returncode == 1
    assert "BN301" in result.stdout
    assert re.search(r"dx\[\d+, \d\] is -?[\d.e-]+, expected -?[\d.e-]+", result.stdout)
    assert "relative error" in result.stdout
    assert "numpy_staged" not in result.stdout, "with --plugin alone, only the plugin is checked"


def test_the_reproducing_command_reproduces():
    result = bnbench("check", "--plugin", PLUGINS / "broken_backward.py", *ONE)
    (command,) = re.findall(r"\$ (bnbench check .*BN301.*)", result.stdout)
    again = bnbench(*shlex.split(command)[1:])

    assert again.returncode == 1
    assert re.search(r"dx\[.*expected.*", again.stdout)[0] == re.search(r"dx\[.*expected.*", result.stdout)[0]


def test_a_plugin_that_raises_on_import_exits_3_and_is_named():
    result = bnbench("check", "--plugin", PLUGINS / "raises_on_import.py", *ONE)

    assert result.returncode == 3
    assert "raises_on_import.py" in result.stdout
    assert "no such luck" in result.stdout
    assert "numpy_staged" not in result.stdout, "nothing else is checked in its place"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("check", "numpy_stagd"), "did you mean numpy_staged?"),
        (("check", "numpy_staged", "--check", "BNN301"), "no check is called 'BNN301'; did you mean BN301?"),
        (("check", "numpy_staged", "--case", "float64/9x5/test"), "expected one of train, eval"),
        (("check", "numpy_layer_norm", "--case", "float64/9x5/train"), "nothing to do: no such case for layer norm"),
        (("check", "--plugin", "no/such/file.py"), "no such file or folder"),
        (("time", "numpy_staged", "--operation", "backwards"), "did you mean backward?"),
        (("time", "numpy_staged", "--baseline", "numpy"), "no implementation is called 'numpy'"),
        (("time", "--budget", "-1"), "budget"),
        (("network", "numpy_stagd"), "did you mean numpy_staged?"),
        (("network", "numpy_instance_norm"), "does not normalize (N, C)"),
        (("exact", "numpy_stagd"), "did you mean numpy_staged?"),
        (("calibrate", "numpy_stagd"), "did you mean numpy_staged?"),
        (("mutants", "--output", __file__), "can't write there"),
        (("explain", "BN999"), "no check is called 'BN999'"),
        (("explain", "dvarr"), "no word is called 'dvarr'; did you mean dvar?"),
        (("report", "no/such/results.json"), "can't be read"),
        (("report", __file__), "not a bnbench report"),
        (("report", Path(__file__).parent), "can't be read"),
        (("run", "--output", __file__), "can't write there"),
        (("chekc",), "No such command"),
    ],
)
def test_bad_input_exits_2_and_says_what_to_do(arguments, message):
    result = bnbench(*arguments)

    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_a_run_writes_every_file(report_folder):
    assert sorted(path.name for path in report_folder.iterdir()) == [
        "charts",
        "findings.csv",
        "index.html",
        "report.md",
        "results.json",
        "staged_graph.svg",
        "timings.csv",
    ]


def test_every_image_of_the_report_stands_beside_it(report_folder):
    images = re.findall(r"!\[[^]]+\]\(([^)]+)\)", (report_folder / "report.md").read_text())

    assert len(images) > 5
    assert all((report_folder / image).read_text().lstrip().startswith("<svg") for image in images)
    assert {f"charts/{file.name}" for file in (report_folder / "charts").iterdir()} < set(images)


def test_the_results_hold_findings_and_timings(report_folder):
    results = json.loads((report_folder / "results.json").read_text())

    assert results["schema"] == "bnbench.report/1"
    assert {row["operation"] for row in results["measurements"]} == {"forward_train", "forward_eval", "backward"}
    assert {finding["status"] for finding in results["findings"]} == {"passed"}


def test_no_timing_without_a_passing_verification():
    """dx is wrong: its backward is not timed, with the reason; its forward is."""
    result = bnbench(
        "time", "numpy_staged", "broken_backward", "--plugin", PLUGINS / "broken_backward.py",
        "--case", "float32/64x128/train", "--budget", "0.002", "--json",
    )  # fmt: skip
    results = json.loads(result.stdout)
    timed = {(row["implementation"], row["operation"]) for row in results["measurements"]}

    assert result.returncode == 1
    assert ("broken_backward", "forward_train") in timed
    assert ("numpy_staged", "backward") in timed
    assert ("broken_backward", "backward") not in timed
    (untimed,) = results["untimed"]
    assert (untimed["implementation"], untimed["operation"]) == ("broken_backward", "backward")
    assert untimed["reason"].startswith("BN301 failed: dx is off by")


def test_a_report_renders_again_from_its_json(report_folder, tmp_path):
    result = bnbench("report", report_folder / "results.json", "--output", tmp_path)

    assert result.returncode == 0
    for name in ("results.json", "findings.csv", "timings.csv", "report.md"):
        assert (tmp_path / name).read_bytes() == (report_folder / name).read_bytes()


def test_json_goes_to_stdout_alone():
    result = bnbench("check", "numpy_staged", "--check", "BN102", *ONE, "--json")

    assert json.loads(result.stdout)["findings"][0]["check"] == "BN102"


def test_quiet_prints_nothing():
    result = bnbench("check", "numpy_staged", "--quiet", *ONE)

    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_list_imports_neither_torch_nor_numba():
    code = "import sys; from bnbench.cli import app; app(['list'], standalone_mode=False); print(sorted(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "torch_native" in result.stdout
    assert "'numpy'" in result.stdout
    assert "'torch'" not in result.stdout
    assert "'numba'" not in result.stdout


def test_a_network_with_a_right_layer_inside_exits_0():
    result = bnbench("network", "numpy_simplified")

    assert result.returncode == 0, result.stderr
    assert "initial loss 2.2612 (published 2.26)" in result.stdout


def test_a_network_with_a_wrong_layer_inside_exits_1_and_names_it():
    result = bnbench("network", "broken_backward", "--plugin", PLUGINS / "broken_backward.py")

    assert result.returncode == 1
    assert "the first wrong gradient on the way back: dx of normalization 2" in result.stdout


def test_exact_counts_the_elements_that_differ():
    result = bnbench("exact", "numpy_staged", "broken_backward", "--plugin", PLUGINS / "broken_backward.py")
    staged, _, broken = result.stdout.partition("broken_backward")

    assert result.returncode == 0
    words = " ".join(staged.split())
    assert "plain 0 of 1914 0 of 53 0 of 53 0 of 1914 0 of 53 0 of 53" in words
    assert "ulps)" in broken
    assert "ulps)" not in staged


def test_help_imports_not_even_numpy():
    code = "import sys; from bnbench.cli import app; app(['--help'], standalone_mode=False); print(sorted(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "'typer'" in result.stdout
    assert "'numpy'" not in result.stdout


def test_help_answers_within_the_cpu_time_of_a_blink():
    """CPU time of the child, best of five: not the wall, which the neighbours share."""

    def seconds():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert bnbench("--help").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(5)) < 0.3


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(command):
    result = bnbench(*command.split(), "--help")

    assert result.returncode == 0
    assert f"Example: bnbench {command}" in result.stdout


def test_explain_gives_claim_maths_cause_and_mutant():
    result = bnbench("explain", "bn301")

    assert result.returncode == 0
    for text in ("BN301", "dx = (g - mean(g) - x_hat mean(g x_hat)) / s", "Usual cause", "dx_without"):
        assert text in result.stdout


def test_explain_without_a_name_lists_every_check_then_every_quantity_then_words():
    lines = bnbench("explain").stdout.splitlines()[1:]
    listed = [line.split()[0] for line in lines if not line.startswith(" ")]
    first = [*(check.code for check in ALL_CHECKS), *STEPS]

    assert listed[: len(first)] == first
    assert {"vacuous", "FAIL", "follows"} <= set(listed[len(first) :])


def test_explain_gives_the_formula_of_a_quantity_and_the_usual_slip():
    result = bnbench("explain", "dvar")

    assert result.returncode == 0
    for text in ("dvar = dsd / (2 sd)", "Why", "Unit", "1/m^2", "Usual slip"):
        assert text in result.stdout


def test_a_failure_has_a_hint_unless_it_is_left_out():
    told, untold = (
        bnbench("check", "--plugin", PLUGINS / "broken_backward.py", "--check", "BN301", *ONE, *options)
        for options in ((), ("--no-hints",))
    )

    assert "hint: dx lacks the term through v" in told.stdout
    assert "hint" not in untold.stdout
    assert told.returncode == untold.returncode == 1


def test_the_version_is_the_packages():
    from bnbench import __version__

    assert bnbench("--version").stdout == f"bnbench {__version__}\n"
