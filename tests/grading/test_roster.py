"""Rosters of four systems, and who handed in what."""

from __future__ import annotations

import pytest

from bnbench.grading.intake import Handed
from bnbench.grading.roster import RosterError, Row, Standing, Student, match, read_roster

CLASSROOM50 = """\ufeffusername,first_name,last_name,email,section,github_id
ann-lee,Ann,Lee,ann@example.edu,A,1001
lee,Bo,Lee,bo@example.edu,A,1002
cho,"Cho, Jr.",Kim,,B,
"""
CANVAS = """Student,ID,SIS User ID,SIS Login ID,Section,Batch norm (4711)
    Points Possible,,,,,20
"Lee, Ann",12345,00123,alee,A,
"Kim, Zoë",222,00456,zkim,A,
"Student, Test",999,,,A,
"""
GRADESCOPE = """First Name,Last Name,SID,Email,Sections,hw2,hw2 - Max Points
Ann,Lee,00123,ann@example.edu,A,,
"""
GITHUB_CLASSROOM = """identifier,github_username,github_id,name
alee@example.edu,ann-lee,1001,Ann Lee
"""


def read(text):
    return read_roster(text.encode())


def test_the_roster_of_classroom_50_is_read_with_its_byte_order_mark():
    ann, _, cho = read(CLASSROOM50)

    assert ann == Student(
        username="ann-lee",
        first_name="Ann",
        last_name="Lee",
        email="ann@example.edu",
        section="A",
        github_id="1001",
    )
    assert (cho.first_name, cho.email) == ("Cho, Jr.", "")


def test_the_gradebook_of_canvas_is_a_roster_without_its_other_rows():
    ann, zoe = read(CANVAS)

    assert (ann.username, ann.last_name, ann.first_name) == ("alee", "Lee", "Ann")
    assert (zoe.canvas_id, zoe.sid) == ("222", "00456")


def test_the_rosters_of_gradescope_and_github_classroom_are_read():
    assert [(one.username, one.sid) for one in read(GRADESCOPE)] == [("ann@example.edu", "00123")]
    assert [(one.username, one.first_name, one.last_name) for one in read(GITHUB_CLASSROOM)] == [
        ("ann-lee", "Ann", "Lee")
    ]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"a,b\n1,2\n", "no student"),
        (b"", "no student"),
        (b"username\n\xff\n", "UTF-8"),
        (b"username\nann\nANN\n", "'ann' stands for 2 students"),
        (b'username\n"ann\n', "CSV"),
    ],
)
def test_what_is_no_roster_is_refused(data, words):
    with pytest.raises(RosterError, match=words):
        read_roster(data)


def handed(student, name=""):
    return Handed(student=student, name=name, source_name="layers.py")


@pytest.mark.parametrize(
    ("roster", "submission", "username"),
    [
        (CLASSROOM50, handed("ANN@example.edu"), "ann-lee"),
        (CLASSROOM50, handed("1002"), "lee"),
        (CLASSROOM50, handed("hw2-ann-lee"), "ann-lee"),
        (CLASSROOM50, handed("hw2-lee"), "lee"),
        (CLASSROOM50, handed("Kim Cho Jr"), "cho"),
        (CANVAS, handed("12345", "leeann"), "alee"),
        (CANVAS, handed("00456"), "zkim"),
        (CANVAS, handed("unknown", "kimzoe"), "zkim"),
        (GRADESCOPE, handed("7", "Ann Lee"), "ann@example.edu"),
    ],
)
def test_a_submission_finds_its_student(roster, submission, username):
    found = match(read(roster), [submission])

    assert [(student.username, one) for student, one in found.pairs] == [(username, submission)]
    assert username not in {student.username for student in found.absent}


def test_what_fits_nobody_or_several_is_reported_on_both_sides():
    roster = read("username,first_name,last_name\na1,Kim,Lee\na2,Kim,Lee\na3,Ann,Ray\na4,Bob,Ray\n")
    namesake, stranger, first, second = handed("Kim Lee"), handed("zed"), handed("a3"), handed("hw2-a3")
    found = match(roster, [namesake, stranger, first, second])

    assert found.pairs == ()
    assert found.unknown == (namesake, stranger)
    assert found.doubled == ((roster[2], (first, second)),)
    assert [student.username for student in found.absent] == ["a1", "a2", "a4"]


def test_a_number_that_two_students_have_in_different_columns_identifies_neither():
    roster = read('Student,ID,SIS User ID,SIS Login ID\n"A, A",1,2,aa\n"B, B",2,3,bb\n')

    assert match(roster, [handed("2")]).unknown == (handed("2"),)
    assert match(roster, [handed("1")]).pairs == ((roster[0], handed("1")),)


@pytest.mark.parametrize("standing", Standing)
def test_a_row_has_points_exactly_when_it_is_graded(standing):
    graded = standing is Standing.GRADED
    student = Student(username="ann")

    assert Row(student=student, standing=standing, points=0.0 if graded else None).points == (0.0 if graded else None)
    with pytest.raises(ValueError, match="ann"):
        Row(student=student, standing=standing, points=None if graded else 0.0)
