"""What every command shares: widths, JSON, loudness, colours, progress, Ctrl-C, and what bad input is told."""

from __future__ import annotations

import functools
import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from jsonschema import Draft202012Validator
from rich.console import Console
from typer.testing import CliRunner

from bnbench import console
from bnbench.answers import dump_schema, records
from bnbench.calibration import Calibration, Condition, Line, calibration_table
from bnbench.cli import app
from bnbench.mutants.score import MutationScore, ScoreRow
from bnbench.report.mutation import mutation_table
from bnbench.rivals import Rivals, Row, rivals_table

ROOT = Path(__file__).resolve().parent.parent
PUBLISHED = ROOT / "docs" / "answers.schema.json"
BROKEN = "tests/plugins/broken_backward.py"
CASE = ("--case", "float64/9x5/train")
DEBUG = "debug tests/bank/wrong/eps_missing_in_test_short_names.py"
TOLD = [
    "list",
    "explain",
    "explain BN301",
    "explain dvar",
    f"check --plugin {BROKEN} --case float64/9x5/train",
    "time numpy_staged numpy_simplified --case float64/9x5/train --budget 0.001",
    "network c_fused",
    f"exact broken_backward --plugin {BROKEN}",
    "isolation",
    "train --list",
    "assignment list",
    "assignment show cs231n-batchnorm",
    DEBUG,
    "doctor c_fused",
    "regrade list OUT",
    "regrade diff OUT",
    "regrade publish OUT",
]
"""Commands that say something, each in less than a second or two."""
TO_COPY = re.compile(r"^\s*(\$ |Reports: |Set \d+ does not count|Then: |\w+ is unavailable: )")


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """A class of one, graded."""
    folder = tmp_path_factory.mktemp("class")
    (folder / "subs" / "ann").mkdir(parents=True)
    (folder / "subs" / "ann" / "layers.py").write_text("x = 1\n")
    done = run(f"grade {folder / 'subs'} -a cs231n-batchnorm -o {folder / 'out'} --no-diagnose")
    assert done.exit_code == 0, done.output
    return folder / "out"


def run(command, *options, width=80, out=""):
    words = [word.replace("OUT", str(out)) for word in command.split()]
    here = Path.cwd()
    os.chdir(ROOT)
    try:
        return CliRunner().invoke(app, [*words, *options], env={"COLUMNS": str(width), "NO_COLOR": "1"})
    finally:
        os.chdir(here)


@functools.cache
def normal(command, width, out):
    """What a command says without options, run once."""
    return run(command, width=width, out=out)


def width_of(shown, width):
    """The longest line of what a console of this width shows."""
    page = Console(width=width, color_system=None)
    with page.capture() as captured:
        page.print(shown, crop=False)
    return max(map(len, captured.get().splitlines()))


@pytest.mark.parametrize(
    ("command", "width"),
    # What debug shows is a file's own lines, which are not wrapped: they are made for 80.
    [*((command, 80 if command == DEBUG else 60) for command in TOLD), ("list", 80), ("exact numpy_staged", 80)],
)
def test_no_line_is_longer_than_the_screen_but_those_to_be_copied(command, width, graded):
    lines = normal(command, width, graded).stdout.splitlines()

    assert lines
    assert [line for line in lines if len(line) > width and not TO_COPY.match(line)] == []


@pytest.mark.parametrize("width", [60, 80])
def test_the_tables_of_the_long_commands_fit_too(width):
    long = "a_mutant_with_a_name_that_is_quite_long_for_a_screen"
    rows = tuple(
        ScoreRow(name=long, norm="instance", bug="a word " * 30, correct=correct, codes=("BN301", "BN302", "BN303"))
        for correct in (True, False)
    )
    condition = Condition(norm="instance", dtype="float64", mean=1e6, sd=1e-6, eps=1e-8)
    line = Line(condition=condition, z=(1.23e10, 1.23e-10, 0.5), margin=123.0, findings=1, alarms=1)
    calibration = Calibration(implementations=(long,), unavailable=(long,), broken=(), lines=(line,), alarms=())
    row = Row(case="float64/64x128/train", rule="textbook loop, central", limit=1e-7, killed=(long,) * 30)
    found = Rivals(rows=(row,), mutants=(long,), without_effect={row.case: (long,)}, correct=(long,))

    for shown in (
        mutation_table(MutationScore(rows=rows, codes=("BN301",))),
        calibration_table(calibration),
        rivals_table(found),
    ):
        assert width_of(shown, width) <= width


@pytest.fixture(scope="module")
def schema():
    return json.loads(PUBLISHED.read_text(encoding="utf-8"))


def test_the_published_schema_is_current():
    # Write it again with: python -c "from bnbench.answers import dump_schema as d; print(d(), end='')"
    assert PUBLISHED.read_text(encoding="utf-8") == dump_schema()


def commands(group, *above):
    """Every command, by its words."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *above, name)
        else:
            yield " ".join([*above, name]), command


@pytest.mark.parametrize(
    ("name", "command"), list(commands(typer.main.get_command(app))), ids=lambda value: str(value)[:20]
)
def test_every_command_takes_the_common_options_and_json_where_it_reports(name, command):
    taken = {option for parameter in command.params for option in parameter.opts}

    assert taken >= {"--quiet", "-q", "--verbose", "-v", "--no-color"}
    # A workflow of GitHub reads annotations, and an assignment to change is its TOML.
    assert ("--json" in taken) is (name not in {"github", "assignment new"})


def no_constant(token):
    raise AssertionError(f"{token} is no JSON")


@pytest.mark.parametrize("command", TOLD)
def test_json_is_strict_alone_on_stdout_and_of_the_published_shape(command, graded, schema):
    answer = json.loads(run(command, "--json", out=graded).stdout, parse_constant=no_constant)

    if answer["schema"] in records():
        Draft202012Validator(schema).validate(answer)
    else:
        assert answer["schema"] in {"bnbench.report/1", "bnbench.diagnosis/1", "bnbench.grades/1"}


def test_a_shape_that_is_not_published_is_refused(schema):
    answer = json.loads(run("assignment list", "--json").stdout)

    for wrong in ({**answer, "more": 1}, {"schema": answer["schema"]}, {**answer, "schema": "bnbench.list/1"}):
        assert not Draft202012Validator(schema).is_valid(wrong)


@pytest.mark.parametrize("command", TOLD)
def test_quiet_prints_nothing_and_the_exit_code_is_the_same(command, graded):
    quiet = run(command, "--quiet", out=graded)

    assert (quiet.stdout, quiet.stderr) == ("", "")
    assert quiet.exit_code == normal(command, 60, graded).exit_code


def test_verbose_adds_versions_and_durations_on_stderr_alone():
    verbose, told = (run("assignment list", *options) for options in (["-v"], []))

    assert verbose.stdout == told.stdout
    assert re.match(r"bnbench [\d.]+, Python [\d.]+, NumPy [\d.]+\n", verbose.stderr)
    assert re.search(r"^list: \d+\.\d s$", verbose.stderr, re.MULTILINE)
    assert told.stderr == ""


def test_verbose_says_which_files_were_written(tmp_path):
    told = run(f"{DEBUG} --html {tmp_path / 'why.html'}", "-v").stderr

    assert f"written: {tmp_path / 'why.html'}" in told


def on_a_terminal(*arguments, **environ):
    """What a command writes to a pseudo-terminal."""
    inside, outside = pty.openpty()
    clean = {k: v for k, v in os.environ.items() if k not in {"NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE"}}
    with subprocess.Popen(
        [sys.executable, "-m", "bnbench", *arguments],
        stdout=outside,
        stderr=outside,
        env={**clean, "TERM": "xterm-256color", "COLUMNS": "80", **environ},
        cwd=ROOT,
    ):
        os.close(outside)
        shown = b""
        while True:
            try:
                piece = os.read(inside, 65536)
            except OSError:  # the other end is closed: this is how Linux says so
                break
            if not piece:
                break
            shown += piece
    os.close(inside)
    return shown.decode()


COLOUR = re.compile(r"\x1b\[[\d;]*3\d[\d;]*m")


def test_colours_are_left_out_where_they_are_not_wanted():
    refused = ("check", "numpy_stagd")

    assert COLOUR.search(on_a_terminal(*refused))
    assert not COLOUR.search(on_a_terminal(*refused, NO_COLOR="1"))
    assert not COLOUR.search(on_a_terminal(*refused, "--no-color"))
    assert not COLOUR.search(on_a_terminal("list", CLICOLOR="0"))


@pytest.mark.parametrize(
    ("given", "wanted", "settled"),
    [
        ({}, True, {}),
        ({}, False, {"NO_COLOR": "1"}),
        ({"CLICOLOR": "0"}, True, {"CLICOLOR": "0", "NO_COLOR": "1"}),
        ({"CLICOLOR": "1"}, True, {"CLICOLOR": "1"}),
        ({"CLICOLOR_FORCE": "1"}, True, {"CLICOLOR_FORCE": "1", "FORCE_COLOR": "1"}),
        ({"CLICOLOR_FORCE": "0"}, True, {"CLICOLOR_FORCE": "0"}),
        ({"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}, True, {"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}),
        ({"FORCE_COLOR": "1"}, False, {"NO_COLOR": "1"}),
    ],
)
def test_the_conventions_of_colour_are_translated_and_no_wins(given, wanted, settled):
    environ = dict(given)
    console.settle_colours(environ, wanted=wanted)

    assert environ == settled


@pytest.fixture
def phases(capsys, monkeypatch):
    """What is said of a phase of forty steps, each of which takes so many seconds."""

    def said(loudness, *, seconds):
        clock = iter(seconds * step for step in range(1000))
        monkeypatch.setattr(console.time, "monotonic", lambda: next(clock))
        token = console.LOUDNESS.set(loudness)
        with console.progress() as shown:
            for done in range(41):
                shown("verify", done, 40, "numpy_staged")
        console.LOUDNESS.reset(token)
        return capsys.readouterr().err.splitlines()

    return said


def test_progress_in_a_pipe_has_a_line_at_a_sensible_rate(phases):
    assert phases(console.Loudness.NORMAL, seconds=0.01) == ["verify: 40 steps"]
    slow = phases(console.Loudness.NORMAL, seconds=5.0)
    assert slow[0] == "verify: 40 steps"
    assert slow[1] == "verify: 4 of 40, 20 s, about 180 s left"
    assert len(slow) == 10, "one for each tenth, and none at the end"


def test_progress_says_nothing_when_quiet_and_how_long_it_took_when_verbose(phases):
    assert phases(console.Loudness.QUIET, seconds=5.0) == []
    assert phases(console.Loudness.VERBOSE, seconds=0.1)[-1] == "verify: 4.1 s"


def test_progress_without_a_step_says_nothing(capsys):
    token = console.LOUDNESS.set(console.Loudness.VERBOSE)
    with console.progress():
        pass
    console.LOUDNESS.reset(token)

    assert capsys.readouterr() == ("", "")


def test_steps_that_are_not_counted_are_told_in_a_pipe_once_it_takes_long(capsys, monkeypatch):
    clock = iter([0.0, 0.5, 1.5])
    monkeypatch.setattr(console.time, "monotonic", lambda: next(clock))
    with console.status("read the file") as tell:
        tell("compile")
        tell("look for memory errors")

    assert capsys.readouterr().err == "look for memory errors\n"


def test_what_was_kept_is_said_by_the_innermost_who_knows(capsys):
    with (
        pytest.raises(typer.Exit) as ended,
        console.keeping("nothing was written"),
        console.keeping("finished runs are kept"),
    ):
        raise KeyboardInterrupt

    assert ended.value.exit_code == 130
    assert capsys.readouterr().err == "Error: interrupted; finished runs are kept\n"


def test_ctrl_c_ends_a_command_with_a_sentence():
    # A shell in the background tells its children to ignore Ctrl-C.
    with subprocess.Popen(
        ["env", "--default-signal=INT", sys.executable, "-m", "bnbench", "mutants"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        said = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        rest = process.communicate()[1]

    assert said.startswith("mutate: ")
    assert (process.returncode, rest) == (130, "Error: interrupted; nothing was written\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("doctor c_fusd", "no implementation or need is called 'c_fusd'; did you mean c_fused?"),
        ("isolation --require-isolation T9", "no tier of isolation is called 'T9'"),
        ("train fc-digit", "did you mean fc-digits?"),
        ("train --implementation numpy_stagd fc-digits", "did you mean numpy_staged?"),
        ("assignment show cs231n-batchnom", "did you mean cs231n-batchnorm?"),
        ("regrade list no/such/folder", "expected the folder that was named with: bnbench grade --out"),
        ("list --plugn x.py", "--plugin"),
    ],
)
def test_bad_input_exits_2_with_a_suggestion(arguments, message):
    done = run(arguments)

    assert done.exit_code == 2
    assert message in " ".join(done.stderr.split())
    assert done.stdout == ""


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    console.write_file(tmp_path / "a.txt", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    with pytest.raises(typer.Exit):
        console.write_file(tmp_path / "no" / "a.txt", "text")


def test_an_encoding_without_marks_does_not_end_in_a_traceback():
    done = subprocess.run(
        [sys.executable, "-m", "bnbench", "check", "numpy_staged", *CASE],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "COLUMNS": "80"},
    )

    assert done.returncode == 0, done.stderr
    assert "65 passed" in done.stdout
