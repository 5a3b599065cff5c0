"""Grading from the command line, as an instructor runs it: exit codes, killed and resumed, bad input refused."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bnbench.grading.reports import file_name
from bnbench.grading.secret import SecretError, course_secret
from bnbench.sandbox.tiers import Tier, probe

BANK = Path(__file__).parent / "bank"
RIGHT = BANK / "correct" / "one_expression.py"
WRONG = BANK / "wrong" / "dvar_sign.py"
BATCHNORM = ("--assignment", "cs231n-batchnorm")
ROSTER = (
    "username,first_name,last_name,email,section,github_id\n"
    "ann,Ann,Lee,ann@example.edu,A,\nbob,Bob,Ray,bob@example.edu,A,\ncy,Cy,Fox,cy@example.edu,A,\n"
)
ENVIRONMENT = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}


def bnbench(*arguments, **options):
    command = [sys.executable, "-m", "bnbench", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, **{"env": ENVIRONMENT, "timeout": 300, **options}
    )


def hand_in(folder, **files):
    for student, file in files.items():
        (folder / student).mkdir(parents=True)
        shutil.copy(file, folder / student / "layers.py")
    return folder


def grades(out):
    with (out / "grades.csv").open(encoding="utf-8", newline="") as file:
        return {row["username"]: row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """A class of three, of whom two handed in; graded once, and copied by who changes it."""
    folder = tmp_path_factory.mktemp("class")
    hand_in(folder / "subs", ann=RIGHT, bob=WRONG)
    (folder / "roster.csv").write_text(ROSTER)
    done = bnbench(
        *("grade", folder / "subs", *BATCHNORM, "--roster", folder / "roster.csv", "--out", folder / "out"),
        *("--no-diagnose", "--gradescope", "--jobs", "2"),
    )
    assert done.returncode == 0, done.stderr
    return folder, done


@pytest.fixture
def copied(graded, tmp_path):
    shutil.copytree(graded[0], tmp_path / "class")
    return tmp_path / "class"


def test_a_class_is_graded_into_a_folder(graded):
    folder, done = graded

    assert done.stdout.splitlines()[0] == "2/3 graded, 1 not submitted, 0 grader errors"
    assert done.stderr.count("isolation T") == 1
    assert "not enforced" in done.stderr
    assert re.search(r"graded 2/2, [\d.]+/s, 0 s left", done.stderr)
    assert sorted(path.name for path in (folder / "out").iterdir()) == [
        *("applied", "class.html", "feedback", "grades.csv", "gradescope", "junit.xml", "moodle.csv", "secret", "sets"),
        "summary.md",
    ]
    assert sorted(path.name for path in (folder / "out" / "feedback").iterdir()) == [
        *("ann.html", "ann.md", "bob.html", "bob.md", "cy.md"),
    ]
    rows = grades(folder / "out")
    assert {name: (row["status"], row["points"]) for name, row in rows.items()} == {
        "ann": ("graded", "26"),
        "bob": ("graded", "16"),
        "cy": ("not_submitted", ""),
    }
    assert json.loads((folder / "out" / "gradescope" / "bob.json").read_text())["score"] == 16
    assert "**16 / 26**" in (folder / "out" / "feedback" / "bob.md").read_text()


def test_the_secret_of_a_class_is_its_owners_alone(graded):
    file = graded[0] / "out" / "secret"

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(file.read_bytes().strip()) == 64


def test_a_secret_is_made_once_and_another_one_is_refused(tmp_path):
    (tmp_path / "other").write_text("another secret, long enough\n")
    made = course_secret(tmp_path)

    assert course_secret(tmp_path) == made
    with pytest.raises(SecretError, match="not the secret"):
        course_secret(tmp_path, tmp_path / "other")


def test_one_submission_is_shown_as_its_student_sees_it():
    done = bnbench("grade", WRONG, *BATCHNORM)

    assert done.returncode == 0, done.stderr
    assert "16 / 26" in done.stdout
    assert re.search(r"^FAIL +2.1 backward: dx +0/5$", done.stdout, re.MULTILINE)
    assert "where: line 48" in done.stdout


def test_one_submission_as_json_is_its_grade():
    done = bnbench("grade", WRONG, *BATCHNORM, "--no-diagnose", "--json")
    read = json.loads(done.stdout)

    assert read["schema"] == "bnbench.grade/1"
    assert [r["outcome"] for r in read["results"] if r["number"] == "2.1"] == ["failed"]


def test_a_class_as_json_has_no_points_where_there_is_no_grade(copied):
    done = bnbench(
        "grade", copied / "subs", "--out", copied / "out", "--roster", copied / "roster.csv", "--resume", "--json"
    )
    read = json.loads(done.stdout)

    assert done.returncode == 0, done.stderr
    assert {row["student"]["username"]: row["points"] for row in read["students"]} == {"ann": 26, "bob": 16, "cy": None}


def test_quiet_prints_nothing(copied):
    done = bnbench("grade", copied / "subs", "--out", copied / "out", "--resume", "--quiet")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_grader_killed_in_the_middle_is_resumed_with_the_same_reports(tmp_path):
    subs = tmp_path / "subs"
    for number in range(12):
        folder = subs / f"s{number:02}"
        folder.mkdir(parents=True)
        text = (WRONG if number % 3 else RIGHT).read_text()
        (folder / "layers.py").write_text(f"{text}\n# {number}\n")
    secret = tmp_path / "secret"
    secret.write_text("of this test, and long enough\n")
    common = (subs, *BATCHNORM, "--no-diagnose", "--jobs", "2", "--secret-file", secret)
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    journal = killed / "sets" / "1" / "journal.jsonl"
    command = [sys.executable, "-m", "bnbench", "grade", *map(str, common), "--out", str(killed), "--resume"]
    for lines in (2, 5):
        with subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None and (not journal.exists() or journal.read_bytes().count(b"\n") < lines):
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL, "it ended before it could be killed"

    assert bnbench("grade", *common, "--out", killed, "--resume").returncode == 0
    assert bnbench("grade", *common, "--out", whole).returncode == 0
    files = [path.relative_to(whole) for path in whole.rglob("*") if path.is_file() and path.name != "journal.jsonl"]
    assert len(files) > 25
    for file in files:
        assert (killed / file).read_bytes() == (whole / file).read_bytes(), file
    assert sorted(journal.read_bytes().splitlines()) == sorted(
        (whole / "sets" / "1" / "journal.jsonl").read_bytes().splitlines()
    )


def test_ctrl_c_says_how_to_go_on(tmp_path):
    subs = tmp_path / "subs"
    for number in range(30):
        hand_in(subs, **{f"s{number}": WRONG})
        with (subs / f"s{number}" / "layers.py").open("a") as file:
            file.write(f"# {number}\n")
    # What is started in the background may have inherited to ignore Ctrl-C.
    heeding = ["env", "--default-signal=INT", sys.executable, "-m", "bnbench"]
    command = [*heeding, "grade", subs, *BATCHNORM, "--no-diagnose", "--out", tmp_path / "out"]
    journal = tmp_path / "out" / "sets" / "1" / "journal.jsonl"
    with subprocess.Popen(
        command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        while process.poll() is None and (not journal.exists() or not journal.read_bytes()):
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        _, told = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "run again with --resume" in told
    assert "Traceback" not in told


def test_a_grade_that_is_owed_exits_3_and_is_paid_on_resume(tmp_path):
    """Without a C compiler the grader can't grade C: its trouble, and no zero."""
    subs = tmp_path / "subs" / "ann"
    subs.mkdir(parents=True)
    shutil.copy(BANK / "uw" / "correct_helpers.c", subs / "batchnorm_layer.c")
    (tmp_path / "empty").mkdir()
    common = ("grade", tmp_path / "subs", "--assignment", "uw-batchnorm", "--out", tmp_path / "out", "--no-diagnose")
    without = {**ENVIRONMENT, "PATH": str(tmp_path / "empty"), "CC": ""}
    done = bnbench(*common, env=without)

    assert done.returncode == 3, done.stdout + done.stderr
    assert done.stdout.startswith("0/1 graded, 0 not submitted, 1 grader error\n")
    assert "  ann: the grader failed on some items" in done.stdout
    assert grades(tmp_path / "out")["ann"]["points"] == ""
    assert bnbench(*common[:2], *common[4:], "--resume", "--only", "failed", env=without).returncode == 3
    done = bnbench(*common[:2], *common[4:], "--resume", "--only", "failed")
    assert done.returncode == 0, done.stdout + done.stderr
    assert grades(tmp_path / "out")["ann"]["points"] == "20"


@pytest.mark.skipif(probe().tier is Tier.T4, reason="this system has the strongest isolation that there is")
def test_isolation_that_cannot_be_had_exits_4():
    for command in (("isolation",), ("grade", WRONG, *BATCHNORM)):
        done = bnbench(*command, "--require-isolation", "T4")
        assert done.returncode == 4
        assert "isolation T4 is required, this system has" in done.stderr


def test_isolation_that_a_limited_process_cannot_have_exits_4(tmp_path):
    """Behind a filter that refuses Landlock, as an old kernel does, there is no T2."""
    forbid = (
        "import ctypes, runpy, sys\n"
        "from bnbench.sandbox import landlock\n"
        "landlock.abi = lambda: 0\n"
        f"sys.argv = ['bnbench', 'grade', {str(WRONG)!r}, '-a', 'cs231n-batchnorm', '--require-isolation', 'T2']\n"
        "runpy.run_module('bnbench', run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", forbid], capture_output=True, text=True, check=False, cwd=tmp_path)

    assert done.returncode == 4, done.stderr
    assert "isolation T2 is required, this system has T1 (landlock: this kernel has none" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_isolation_here_is_told():
    done = bnbench("isolation")
    read = json.loads(bnbench("isolation", "--json").stdout)

    assert done.returncode == 0
    assert done.stdout.startswith(f"isolation {read['tier']}; not enforced: {', '.join(read['not_enforced'])}")


def test_a_regrade_is_compared_then_applied(copied):
    out = copied / "out"
    stricter = copied / "stricter.toml"
    assert bnbench("assignment", "new", "--output", stricter).returncode == 0
    text = stricter.read_text().replace("points = 26", "points = 22")
    stricter.write_text(text.replace('"BN332", "BN333"]\npoints = 4', '"BN332", "BN333"]\npoints = 0'))
    again = ("grade", copied / "subs", "--out", out, "--roster", copied / "roster.csv", "--no-diagnose")
    done = bnbench(*again, "--assignment", stricter, "--regrade", "3.1 is not asked for", "--only", "ann")

    assert done.returncode == 0, done.stderr
    assert f"Compare: bnbench regrade diff {out} 1 2" in done.stdout
    assert grades(out)["ann"]["points"] == "26", "not before it is applied"
    changes = bnbench("regrade", "diff", out, "1", "2").stdout.splitlines()
    assert "ann: graded, 26 points -> graded, 22 points" in changes
    assert changes[-1] == "1 student with another standing or other points, from set 1 to 2"
    assert bnbench("regrade", "apply", out, "2").returncode == 0
    assert {name: row["points"] for name, row in grades(out).items()} == {"ann": "22", "bob": "16", "cy": ""}
    refused = bnbench("regrade", "discard", out, "2")
    assert (refused.returncode, "apply another one first" in refused.stderr) == (2, True)
    listed = bnbench("regrade", "list", out).stdout.splitlines()
    assert [line.split()[:2] for line in listed] == [["1", "2/3"], ["2", "counts"]]
    assert bnbench("regrade", "apply", out, "1").returncode == 0
    assert bnbench("regrade", "discard", out, "2").returncode == 0
    assert "discarded" in bnbench("regrade", "list", out).stdout


def test_decisions_of_people_need_no_new_run(copied):
    out = copied / "out"
    (out / "overrides.csv").write_text("id,item,points,note\nbob,2.1,3,a good idea\n")
    journal = (out / "sets" / "1" / "journal.jsonl").read_bytes()
    done = bnbench("regrade", "publish", out)

    assert done.returncode == 0, done.stderr
    assert grades(out)["bob"]["points"] == "19"
    assert "a good idea" in (out / "feedback" / "bob.md").read_text()
    assert (out / "sets" / "1" / "journal.jsonl").read_bytes() == journal


def test_a_new_late_policy_needs_no_new_run(tmp_path):
    subs = tmp_path / "subs"
    hand_in(subs, submission_1=RIGHT)
    (subs / "submission_metadata.yml").write_text(
        "submission_1:\n  :submitters:\n  - :name: Ann Lee\n    :email: ann@example.edu\n"
        "  :created_at: 2026-05-10 06:59:00.000000000 Z\n"
    )
    out, late = tmp_path / "out", tmp_path / "late.toml"
    assert bnbench("grade", subs, *BATCHNORM, "--out", out, "--no-diagnose").returncode == 0
    assert grades(out)["ann@example.edu"]["points"] == "26"
    assert bnbench("assignment", "new", "-o", late).returncode == 0
    text = late.read_text().replace("# due", "due").replace("percent_per_day = 0.0", "percent_per_day = 50.0")
    late.write_text(text)

    assert bnbench("regrade", "publish", out, "--lateness", late).returncode == 0
    row = grades(out)["ann@example.edu"]
    assert (row["points"], row["points_before_lateness"], row["note"]) == ("13", "26", "1 day late: 50 % off")
    assert (out / "sets" / "1" / "journal.jsonl").read_bytes().count(b"\n") == 1
    assert bnbench("grade", subs, "--out", out, "--resume").returncode == 0
    assert (out / "sets" / "1" / "journal.jsonl").read_bytes().count(b"\n") == 1, "nothing is graded again"


def test_a_gradebook_of_canvas_is_filled(copied):
    book = copied / "book.csv"
    book.write_text(
        "Student,ID,SIS User ID,SIS Login ID,Section,HW 2 (77)\n    Points Possible,,,,,26\n"
        '"Lee, Ann",1,,ann,A,\n"Fox, Cy",3,,cy,A,\n'
    )
    done = bnbench(
        *("grade", copied / "subs", "--roster", book, "--out", copied / "out", "--resume"),
        *("--canvas", book, "--canvas-column", "HW 2"),
    )

    assert done.returncode == 0, done.stderr
    assert (copied / "out" / "canvas.csv").read_text().splitlines()[2:] == [
        '"Lee, Ann",1,,ann,A,26',
        '"Fox, Cy",3,,cy,A,',
    ]
    refused = bnbench("regrade", "publish", copied / "out", "--canvas", book)
    assert refused.returncode == 2
    assert "name the assignment as Canvas does with --canvas-column" in refused.stderr


def test_feedback_of_who_left_the_class_is_removed(copied):
    (copied / "out" / "feedback" / "zoe.md").write_text("old")

    assert bnbench("regrade", "publish", copied / "out").returncode == 0
    assert not (copied / "out" / "feedback" / "zoe.md").exists()


def test_names_of_files_are_distinct_and_lead_nowhere():
    names = ["ann", "../ann", "..", ".", "", "a/b", "a%2Fb", "a b", "a\nb", "\udc80", "ü", "x" * 300, "x" * 299 + "y"]
    made = [file_name(name) for name in names]

    assert len(set(made)) == len(names)
    assert all(re.fullmatch(r"[\w@+ .%~-]+", name) and not name.startswith(".") for name in made)
    assert max(map(len, made)) < 200


def test_an_assignment_is_listed_shown_written_and_tried(tmp_path):
    assert "cs231n-batchnorm" in bnbench("assignment", "list").stdout
    shown = bnbench("assignment", "show", "cs231n-batchnorm").stdout
    assert re.search(r"2\.1 +backward: dx +batchnorm_backward +BN301 BN331 +visible +5", shown)
    file = tmp_path / "mine.toml"
    assert bnbench("assignment", "new", "uw-batchnorm", "--output", file).returncode == 0
    assert bnbench("assignment", "lint", file).returncode == 0
    again = bnbench("assignment", "new", "uw-batchnorm", "--output", file)
    assert (again.returncode, "not overwritten" in again.stderr) == (2, True)


def test_a_rubric_that_gives_points_for_nothing_exits_1(tmp_path):
    file = tmp_path / "generous.toml"
    file.write_text(
        'name = "g"\ntitle = "g"\nkind = "cs231n"\nfiles = ["layers.py"]\n'
        '[[item]]\nnumber = "1"\ntitle = "x"\nfunction = "batchnorm_forward"\nchecks = ["BN501"]\npoints = 3\n'
    )
    done = bnbench("assignment", "lint", file)

    assert done.returncode == 1
    assert "item 1: 3 points for a submission that is so" in done.stdout


def test_the_instructors_page_shows_what_happens(tmp_path):
    """The two commands of the page, on the class that it describes; what is about this machine's isolation varies."""
    subs = hand_in(
        tmp_path / "submissions",
        ann=RIGHT,
        bob=WRONG,
        cy=BANK / "wrong" / "dbeta_mean.py",
        eve=BANK / "hostile" / "exit_with_success_at_import.py",
        fay=BANK / "hostile" / "fork_bomb.py",
    )
    (subs / "dee").mkdir()
    (subs / "dee" / "notes.txt").write_text("later\n")
    shutil.copy(WRONG, tmp_path / "layers.py")
    names = ("ann", "bob", "cy", "dee", "eve", "fay", "gus")
    (tmp_path / "roster.csv").write_text("username\n" + "".join(f"{name}\n" for name in names))
    page = (BANK.parent.parent / "docs" / "grading.md").read_text()
    for block in ("class", "one"):
        (shown,) = re.findall(rf"<!-- {block} -->\n```console\n(.+?)```\n<!-- end -->", page, re.DOTALL)
        command, _, output = shown[shown.index("$ bnbench ") + 2 :].partition("\n")
        done = bnbench(*shlex.split(command)[1:], cwd=tmp_path, env={**ENVIRONMENT, "COLUMNS": "80"})
        assert done.returncode == 0, done.stderr
        assert told(done.stdout) == told(output), block


def told(output):
    """Without what varies: digits, progress, and the machine's isolation."""
    lines = (re.sub(r"[-+]?\d[\d.e+-]*", "#", line).strip() for line in output.splitlines())
    return [line for line in lines if "isolation" not in line and not re.match(r"graded #/#", line)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("grade", "{subs}"), "which assignment? Name it with --assignment"),
        (("grade", "{subs}", "-a", "cs231n-bachnorm"), "did you mean cs231n-batchnorm?"),
        (("grade", "{subs}", *BATCHNORM), "several files that differ, of which one is expected"),
        (("grade", "{subs}", *BATCHNORM, "--resume"), "say where its grades go with --out DIR"),
        (("grade", "{subs}", "--out", "{out}"), "resume, or regrade with a reason"),
        (("grade", "no/such", *BATCHNORM, "--out", "{tmp}/new"), "no/such: No such file or directory"),
        (("grade", "{empty}", *BATCHNORM, "--out", "{tmp}/new"), "no submission in it; looked for layers.py"),
        (("grade", "{empty}", *BATCHNORM), "a class is graded with --out DIR"),
        (("grade", "{notes}", *BATCHNORM), "neither an archive nor layers.py"),
        (("grade", "{subs}", *BATCHNORM, "--out", "{notes}"), "can't write there"),
        (("grade", "{subs}", *BATCHNORM, "--out", "{tmp}/new", "--roster", "{notes}"), "no student in it"),
        (("grade", "{subs}", *BATCHNORM, "--out", "{tmp}/new", "--only", "failed"), "nobody was graded yet"),
        (("grade", "{subs}", "--out", "{out}", "--resume", "--only", "zoe"), "only zoe: nobody in the class"),
        (("grade", "{subs}", "--out", "{out}", "--resume", "--only", "failed"), "no grade is owed"),
        (("grade", "{subs}", "--out", "{out}", "--resume", "--secret-file", "{notes}"), "at least 16 random ones"),
        (("grade", "{subs}", "--out", "{out}", "--resume", "--secret-file", "{roster}"), "is not the secret that this"),
        (("grade", "{subs}", "--out", "{out}", "--resume", "--canvas", "{notes}"), "not that of a gradebook"),
        (("grade", "{subs}", "--out", "{out}", "--resume", "--require-isolation", "T9"), "no tier of isolation"),
        (("grade", "{subs}", "-a", "{notes}", "--out", "{tmp}/new"), "is no assignment:"),
        (("grade", "{subs}", "-a", "{subs}", "--out", "{tmp}/new"), "neither a file nor an assignment"),
        (("assignment", "show", "uw-batch"), "did you mean uw-batchnorm?"),
        (("assignment", "lint", "{broken}"), "item 1: points: missing"),
        (("regrade", "list", "{empty}"), "no grades in it; expected the folder"),
        (("regrade", "diff", "{out}", "1", "7"), "there is no set '7'"),
        (("regrade", "apply", "{out}", "../../out"), "there is no set '../../out'"),
        (("regrade", "publish", "{empty}"), "no grades in it"),
        (("gradescope", "build", "-a", "nothing"), "known: cs231n-batchnorm"),
        (("gradescope", "run", "--root", "{empty}"), "secret: No such file"),
        (("github", "{subs}"), "which assignment?"),
    ],
)
def test_bad_input_exits_2_and_says_what_to_do(graded, tmp_path, arguments, message):
    folder = graded[0]
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("short\n")
    (tmp_path / "broken.toml").write_text('name = "b"\n[[item]]\nnumber = 1\n')
    places = {
        "subs": folder / "subs",
        "out": folder / "out",
        "roster": folder / "roster.csv",
        "tmp": tmp_path,
        "empty": tmp_path / "empty",
        "notes": tmp_path / "notes.txt",
        "broken": tmp_path / "broken.toml",
    }
    done = bnbench(*(str(argument).format(**places) for argument in arguments))

    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_scheduler_that_does_not_answer_leaves_grades_owed(copied):
    pytest.importorskip("distributed")
    hand_in(copied / "subs", zoe=BANK / "wrong" / "dbeta_mean.py")
    done = bnbench(
        *("grade", copied / "subs", "--out", copied / "out", "--resume", "--scheduler", "tcp://127.0.0.1:9"),
    )

    assert done.returncode == 3
    assert "no Dask scheduler answers at tcp://127.0.0.1:9" in done.stderr
    assert "Traceback" not in done.stderr
