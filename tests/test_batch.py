"""A class graded by a real grader in real processes, which are killed: nothing is lost, reports are the same."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from bnbench.grading import batch
from bnbench.grading.intake import Handed
from bnbench.grading.journal import JournalError, open_journal
from bnbench.grading.model import Assignment, Item, LatePolicy, Outcome
from bnbench.grading.overrides import OverridesError
from bnbench.grading.results import changed_points, diff
from bnbench.grading.roster import Standing, Student
from bnbench.grading.sets import SetError, applied_set, apply_set, discard_set, read_set, set_names

GRADER = '''
"""A small real grader: it runs the submission's mean() in another process and compares the answer."""
import hashlib, os, signal, subprocess, sys, time
from pathlib import Path
from bnbench import __version__
from bnbench.grading.model import Grade, Isolation, ItemResult, Outcome

def grade_one(data, name, assignment, *, epoch, slowly=0.0, scale=1, as_epoch=None):
    text = data.decode()
    if "# kill the grader" in text:
        os.kill(os.getpid(), signal.SIGKILL)
    if "# once: " in text:
        marker = Path(text.split("# once: ")[1].split()[0])
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    if "# trouble" in text:
        raise OSError("no space left on device")
    time.sleep(slowly)
    program = text + "\\nprint(mean([1.0, 2.0, 6.0]))"
    run = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True)
    right = run.returncode == 0 and float(run.stdout) == 3.0
    crashed = run.returncode != 0
    outcome = Outcome.PASSED if right else Outcome.ERROR if crashed else Outcome.FAILED
    if "# owed" in text and not Path(text.split("# owed ")[1].split()[0]).exists():
        outcome = Outcome.GRADER_ERROR
    item = assignment.items[0]
    result = ItemResult(
        number=item.number, title=item.title, function=item.function, outcome=outcome,
        points=scale * item.points if right else 0, max_points=item.points,
        hint="" if right else f"line {text.count(chr(10))}: the sum is not divided",
    )
    return Grade(
        assignment=assignment.name, assignment_digest=assignment.digest,
        submission=hashlib.sha256(data).hexdigest(), file=name, bnbench=__version__, epoch=as_epoch or epoch,
        results=(result,), isolation=Isolation(tier="T0"),
    )
'''
DRIVER = """
import sys
from functools import partial
from pathlib import Path
from grader import grade_one
from bnbench.grading.batch import grade_class
from test_class import ASSIGNMENT, handed

if __name__ == "__main__":
    out, jobs, order = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    result = grade_class(
        handed(20)[::order], ASSIGNMENT, partial(grade_one, slowly=0.05), out, epoch="spring", jobs=jobs, resume=True
    )
    print(result.summary)
"""
ASSIGNMENT = Assignment(
    name="small",
    title="A mean",
    kind="cs231n",
    files=("mean.py",),
    items=(Item(number="1", title="the mean", function="batchnorm_forward", checks=("BN102",), points=4),),
    digest="d" * 64,
    due="2026-03-01T12:00:00+00:00",
)
RIGHT = "def mean(v):\n    return sum(v) / len(v)\n"
WRONG = "def mean(v):\n    return sum(v)\n"


def one(student, text, **other):
    data = text.encode()
    return Handed(
        student=student, source_name=f"{student}/mean.py", data=data, digest=hashlib.sha256(data).hexdigest(), **other
    )


def handed(count):
    return tuple(one(f"s{i:02}", f"# {i}\n" * i + (WRONG if i % 5 == 0 else RIGHT)) for i in range(count))


@pytest.fixture
def grade_one(tmp_path, monkeypatch):
    """The grader as a module that the grading processes can import too."""
    (tmp_path / "grader.py").write_text(GRADER)
    (tmp_path / "test_class.py").write_text(Path(__file__).read_text())
    (tmp_path / "driver.py").write_text(DRIVER)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.delitem(sys.modules, "grader", raising=False)
    from grader import grade_one

    yield grade_one
    sys.modules.pop("grader", None)


def graded(grade_one, out, submissions, **options):
    return batch.grade_class(submissions, ASSIGNMENT, grade_one, out, epoch="spring", **options)


def lines(out, name="1"):
    file = out / "sets" / name / "journal.jsonl"
    return file.read_bytes().count(b"\n") if file.exists() else 0


def outcomes(result):
    return {row.student.username: row.grade.results[0].outcome for row in result.rows if row.grade}


def kill_at(arguments, out, count):
    """Start the driver and kill it without warning once its journal has so many lines; its children's ids."""
    with subprocess.Popen([sys.executable, *map(str, arguments)], stdout=subprocess.DEVNULL) as process:
        while lines(out) < count and process.poll() is None:
            time.sleep(0.005)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        found = [int(pid) for pid in children.read_text().split()] if children.exists() else []
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL, "it ended before it could be killed"
    return found


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.usefixtures("grade_one")
def test_a_grader_killed_twice_and_resumed_leaves_the_same_reports(tmp_path):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    driver = tmp_path / "driver.py"

    children = kill_at([driver, killed, 2, 1], killed, 4)
    children += kill_at([driver, killed, 2, -1], killed, 10)
    assert 10 <= lines(killed) < 20
    last = subprocess.run([sys.executable, driver, killed, "2", "1"], check=True, capture_output=True, text=True)
    subprocess.run([sys.executable, driver, whole, "1", "-1"], check=True, capture_output=True)

    assert last.stdout == "20/20 graded, 0 not submitted, 0 grader errors\n"
    assert lines(killed) == lines(whole) == 20
    assert (killed / "class.html").read_bytes() == (whole / "class.html").read_bytes()
    assert read_set(killed, "1") == read_set(whole, "1")
    deadline = time.monotonic() + 20
    while any(map(is_alive, children)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_alive, children)), "grading processes outlived the grader"


def test_ctrl_c_ends_the_run_and_leaves_a_journal_to_resume(grade_one, tmp_path):
    out = tmp_path / "out"
    # What is started in the background may have inherited to ignore Ctrl-C.
    heeding = ["env", "--default-signal=INT", sys.executable]
    process = subprocess.Popen([*heeding, tmp_path / "driver.py", out, "2", "1"], stderr=subprocess.DEVNULL)
    while lines(out) < 3:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)

    assert process.wait(timeout=60) != 0
    assert 3 <= lines(out) < 20
    assert graded(grade_one, out, handed(20), resume=True).count(Standing.GRADED) == 20
    assert lines(out) == 20


def test_a_torn_last_line_is_graded_again(grade_one, tmp_path):
    out = tmp_path / "out"
    before = graded(grade_one, out, handed(4))
    page = (out / "class.html").read_bytes()
    journal = out / "sets" / "1" / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-30])

    assert graded(grade_one, out, handed(4), resume=True) == before
    assert lines(out) == 4
    assert (out / "class.html").read_bytes() == page


def test_a_submission_that_kills_its_grader_costs_the_others_nothing(grade_one, tmp_path):
    submissions = (*handed(6), one("bad", f"# kill the grader\n{RIGHT}"), one("odd", f"# trouble\n{RIGHT}"))
    result = graded(grade_one, tmp_path / "out", submissions, jobs=2)

    assert result.summary == "6/8 graded, 0 not submitted, 2 grader errors"
    notes = {row.student.username: row.note for row in result.rows if row.standing is Standing.GRADER_ERROR}
    assert notes["bad"] == "the grading process died by signal SIGKILL, 2 times"
    assert notes["odd"] == "the grader raised OSError: no space left on device"
    assert {row.points for row in result.rows if row.standing is Standing.GRADER_ERROR} == {None}


def test_a_grading_process_that_dies_once_is_no_trouble(grade_one, tmp_path):
    marker = tmp_path / "died"
    result = graded(grade_one, tmp_path / "out", [one("ann", f"# once: {marker} \n{RIGHT}")])

    assert marker.exists()
    assert outcomes(result) == {"ann": Outcome.PASSED}


@pytest.mark.slow
def test_a_grader_that_hangs_is_ended(grade_one, tmp_path, monkeypatch):
    monkeypatch.setattr("bnbench.grading.batch.grade_here", partial(batch.grade_here, seconds=4.0))
    hang = "import time\ndef mean(v):\n    time.sleep(1000)\n"
    result = graded(grade_one, tmp_path / "out", [one("slow", hang), *handed(2)], jobs=2)

    notes = {row.student.username: row.note for row in result.rows}
    assert notes["slow"] == "grading took longer than 4 s, 2 times"
    assert result.count(Standing.GRADED) == 2


def test_resume_grades_what_the_grader_owes_and_nothing_else(grade_one, tmp_path):
    out, paid = tmp_path / "out", tmp_path / "paid"
    submissions = (*handed(3), one("owed", f"# owed {paid} \n{RIGHT}"))

    assert graded(grade_one, out, submissions).summary == "3/4 graded, 0 not submitted, 1 grader error"
    paid.touch()
    assert graded(grade_one, out, submissions, resume=True).summary == "4/4 graded, 0 not submitted, 0 grader errors"
    assert lines(out) == 5
    graded(grade_one, out, submissions, resume=True)
    assert lines(out) == 5


def test_the_same_bytes_are_graded_once_and_named_as_identical(grade_one, tmp_path):
    renamed = RIGHT.replace("v", "values")
    long = "".join(f"def f{i}(a, b):\n    return a + {i} * b\n" for i in range(9))
    submissions = [
        one("ann", RIGHT + long),
        one("bob", RIGHT + long),
        one("cy", renamed + long),
        one("dee", WRONG + long),
    ]
    result = graded(grade_one, tmp_path / "out", submissions)

    assert lines(tmp_path / "out") == 3
    assert [[student.username for student in group] for group in result.identical] == [["ann", "bob"]]
    assert [[student.username for student in group] for group in result.alike] == [["ann", "bob", "cy"]]
    assert [row.grade.file for row in result.rows] == ["ann/mean.py", "bob/mean.py", "cy/mean.py", "dee/mean.py"]


def test_who_handed_in_nothing_has_no_points_and_no_zero(grade_one, tmp_path):
    roster = [Student(username=name) for name in ("ann", "bob", "cy")]
    submissions = [one("ann", RIGHT), Handed(student="cy", source_name="cy", problem="no mean.py"), one("eve", WRONG)]
    result = graded(grade_one, tmp_path / "out", submissions, roster=roster)

    assert result.summary == "2/4 graded, 1 not submitted, 1 without a usable file, 0 grader errors"
    assert [row.points for row in result.rows] == [4, None, None, 0]
    assert [row.note for row in result.rows] == ["", "", "no mean.py", "not on the roster"]


@pytest.mark.parametrize("options", [{"resume": True}, {"regrade": "stricter"}])
def test_a_roster_holds_on_until_another_is_given(grade_one, tmp_path, options):
    named = (Student(username="ann", first_name="Ann"), Student(username="bob"))
    graded(grade_one, tmp_path / "out", [one("ann", RIGHT)], roster=named)
    again = graded(grade_one, tmp_path / "out", [one("ann", RIGHT)], **options)
    other = graded(grade_one, tmp_path / "out", [one("ann", RIGHT)], regrade="left", roster=named[:1])

    assert [row.student for row in again.rows] == list(named)
    assert [row.student for row in other.rows] == [named[0]]


def test_grades_are_not_overwritten_unasked(grade_one, tmp_path):
    graded(grade_one, tmp_path / "out", handed(2))

    with pytest.raises(SetError, match="resume"):
        graded(grade_one, tmp_path / "out", handed(2))


def test_two_graders_do_not_write_one_class(grade_one, tmp_path):
    out = tmp_path / "out"
    graded(grade_one, out, handed(1))

    with open_journal(out / "sets" / "1" / "journal.jsonl"), pytest.raises(JournalError):
        graded(grade_one, out, handed(2), resume=True)


def test_overrides_survive_every_regrade(grade_one, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "overrides.csv").write_text("id,item,points,note\ns00,1,3,nearly\nnobody,1,1,\n")

    for options in ({}, {"resume": True}, {"regrade": "a fix"}):
        result = graded(grade_one, out, handed(2), **options)
        assert result.rows[0].points == 3
        assert result.rows[0].grade.results[0].what.startswith("set by hand to 3: nearly")
        assert result.remarks == ("override of nobody, item 1: no submission of this student was graded",)
    assert "set by hand" not in (out / "sets" / "2" / "journal.jsonl").read_text()


def test_a_broken_overrides_file_is_refused_before_anything_is_graded(grade_one, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "overrides.csv").write_text("who,what\n")

    with pytest.raises(OverridesError):
        graded(grade_one, out, handed(2))
    assert lines(out) == 0


def test_a_new_late_policy_or_extension_needs_no_new_run(grade_one, tmp_path):
    out = tmp_path / "out"
    strict = replace(ASSIGNMENT, late=LatePolicy(percent_per_day=25.0))
    submissions = [one("ann", RIGHT, submitted="2026-03-03T00:00:00+00:00")]
    result = batch.grade_class(submissions, strict, grade_one, out, epoch="spring")
    assert (result.rows[0].points, result.rows[0].note) == (2, "2 days late: 50 % off")

    (out / "extensions.csv").write_text("id,due,slip_days_used,note\nann,2026-03-02T12:00:00Z,,ill\n")
    assert batch.publish(out).rows[0].points == 3
    assert lines(out) == 1


def test_a_regrade_is_compared_then_applied_or_discarded(grade_one, tmp_path):
    out = tmp_path / "out"
    graded(grade_one, out, handed(6))
    page = (out / "class.html").read_bytes()
    regraded = graded(partial(grade_one, scale=0), out, handed(6), regrade="stricter")

    assert (set_names(out), applied_set(out)) == (("1", "2"), "1")
    assert (out / "class.html").read_bytes() == page
    changes = diff(batch.result_of(out, "1"), regraded)
    assert changed_points(changes) == 4
    assert {(c.before, c.after) for c in changes if c.item} == {("passed, 4/4", "passed, 0/4")}
    assert "s00" not in {change.student.username for change in changes}, "nothing changed for who had nothing"

    discard_set(out, "2")
    with pytest.raises(SetError, match="discarded"):
        apply_set(out, "2")
    graded(partial(grade_one, scale=0), out, handed(6), regrade="again")
    apply_set(out, "3")
    assert batch.publish(out) == batch.result_of(out, "3")
    assert (out / "class.html").read_bytes() != page
    with pytest.raises(SetError, match="counts"):
        discard_set(out, "3")


def test_a_regrade_of_some_leaves_the_others_as_they_are(grade_one, tmp_path):
    out = tmp_path / "out"
    graded(grade_one, out, handed(4))
    result = graded(partial(grade_one, scale=0), out, handed(4), regrade="one complaint", only=["s01"])

    assert lines(out, "2") == 1
    assert [row.points for row in result.rows] == [0, 0, 4, 4]
    with pytest.raises(SetError, match="zoe"):
        graded(grade_one, out, handed(4), regrade="who?", only=["zoe"])


def test_a_grade_of_another_version_is_nobodys(grade_one, tmp_path):
    result = graded(partial(grade_one, as_epoch="autumn"), tmp_path / "out", handed(1))

    assert result.rows[0].standing is Standing.GRADER_ERROR
    assert result.rows[0].note == "what came back is of another run: bnbench 0.1.0, epoch 'autumn'"


CLUSTER = """
import json, os, signal, sys, threading, time
from functools import partial
from pathlib import Path
from grader import grade_one
from bnbench.grading.batch import grade_class
from test_class import ASSIGNMENT, handed, lines

def pid():
    return os.getpid()

def kill_a_worker(cluster, client, out):
    victim = next(iter(client.run(pid).values()))
    while lines(out) < 4:
        time.sleep(0.01)
    os.kill(victim, signal.SIGKILL)

if __name__ == "__main__":
    from distributed import Client, LocalCluster
    out = Path(sys.argv[1])
    options = {"processes": True, "n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**options) as cluster, Client(cluster, set_as_default=False) as client:
        killer = threading.Thread(target=kill_a_worker, args=(cluster, client, out))
        killer.start()
        work = partial(grade_one, slowly=0.1)
        result = grade_class(handed(24), ASSIGNMENT, work, out, epoch="spring", scheduler=cluster.scheduler_address)
        killer.join()
    print(result.summary)
"""


@pytest.mark.slow
def test_a_killed_worker_of_a_cluster_loses_nothing_and_doubles_nothing(grade_one, tmp_path):
    pytest.importorskip("distributed")
    (tmp_path / "cluster.py").write_text(CLUSTER)
    command = [sys.executable, tmp_path / "cluster.py", tmp_path / "out"]
    run = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)

    assert run.stdout == "24/24 graded, 0 not submitted, 0 grader errors\n", run.stderr
    journal = (tmp_path / "out" / "sets" / "1" / "journal.jsonl").read_text().splitlines()
    keys = [json.loads(line)["key"]["submission"] for line in journal]
    assert sorted(keys) == sorted(submission.digest for submission in handed(24))
    here = graded(grade_one, tmp_path / "here", handed(24), jobs=2)
    assert here.count(Standing.GRADED) == 24
    assert (tmp_path / "here" / "class.html").read_bytes() == (tmp_path / "out" / "class.html").read_bytes()


@pytest.mark.slow
@pytest.mark.usefixtures("grade_one")
def test_an_address_where_no_scheduler_is_is_said(tmp_path):
    pytest.importorskip("distributed")
    program = (
        "import sys; from pathlib import Path; from grader import grade_one; from test_class import *\n"
        "from bnbench.grading.batch import grade_class\n"
        "from bnbench.grading.cluster import SchedulerError\n"
        "try: grade_class(handed(1), ASSIGNMENT, grade_one, Path(sys.argv[1]), epoch='s', scheduler='tcp://127.0.0.1:9')\n"
        "except SchedulerError as error: print(error)\n"
    )
    command = [sys.executable, "-c", program, tmp_path / "out"]
    run = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)

    assert run.stdout.startswith("no Dask scheduler answers at tcp://127.0.0.1:9"), run.stderr
