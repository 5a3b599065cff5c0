"""A small class with every outcome, and its golden files.

``pytest tests/report tests/grading --rewrite-golden`` writes them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from bnbench.grading.model import Grade, Isolation, ItemResult, Outcome, Visibility
from bnbench.grading.roster import Row, Standing, Student

GOLDEN = Path(__file__).parent.parent / "golden" / "grading"

RESULTS = (
    ItemResult(
        number="1.1",
        title="forward, train mode, values",
        function="batchnorm_forward",
        outcome=Outcome.PASSED,
        points=4,
        max_points=4,
        check="BN101",
    ),
    ItemResult(
        number="2.1",
        title="backward: dx against reference",
        function="batchnorm_backward",
        outcome=Outcome.FAILED,
        points=0,
        max_points=4,
        what="dx is 2.3 decades outside; dgamma and dbeta are right",
        hint="an error in dx alone usually means the mean or variance path is missing",
        line=21,
        got="0.5",
        expected="0.25",
        check="BN301",
        reproduce="bnbench check layers.py --check BN301 --case float64/9x5/train",
    ),
    ItemResult(
        number="2.3",
        title="numeric gradient of dx",
        function="batchnorm_backward",
        outcome=Outcome.SKIPPED,
        points=0,
        max_points=2,
        what="not run: it needs 2.1",
    ),
    ItemResult(
        number="3.1",
        title="test mode",
        function="batchnorm_forward",
        outcome=Outcome.CRASHED,
        points=0,
        max_points=2,
        what="died with signal 11 in batchnorm_forward",
    ),
    ItemResult(
        number="4.1",
        title="SECRET tiny variance",
        function="batchnorm_forward",
        outcome=Outcome.FAILED,
        points=0,
        max_points=3,
        visibility=Visibility.HIDDEN,
        what="SECRET value",
        hint="SECRET hint",
        got="SECRET got",
        expected="SECRET expected",
    ),
    ItemResult(
        number="4.2",
        title="LATER large mean",
        function="batchnorm_forward",
        outcome=Outcome.PASSED,
        points=1,
        max_points=1,
        visibility=Visibility.AFTER_DUE_DATE,
        what="LATER value",
    ),
)


def a_grade(*results, **changes):
    given = {
        "assignment": "batchnorm",
        "assignment_digest": "a" * 64,
        "submission": "3f9a1c" + "0" * 58,
        "file": "layers.py",
        "bnbench": "0.1.0",
        "epoch": "autumn",
        "results": results or RESULTS,
        "isolation": Isolation(tier="T2", not_enforced=("stat of outside files",)),
        "remarks": ("line 12: print statement of Python 2, read as a call",),
    }
    return Grade(**{**given, **changes})


@pytest.fixture
def grade():
    """One of each kind of outcome, a hidden item, and one that waits for the due date."""
    return a_grade()


HOSTILE = (
    "\n::error::forged",
    "%0A::set-output name=grade::100",
    "\x1b[2J\x1b]0;owned\x07",
    "nul\x00 bell\x07 \ufffe \udc80 \u202egnp.exe",
    "</pre></code></dd><script>alert(1)</script><img src=x onerror=alert(1)>",
    '=HYPERLINK("http://evil.example","x")',
    "@SUM(1+1)|cmd ; =1+1",
    "\t-2+3",
    "[red]x[/red] [link](javascript:alert(1)) ![i](http://evil.example) @everyone",
    "a | b `c` ``` <!-- --> ~~~",
    "\"quotes\", 'and'\r\nlines",
    "]]> &amp; <![CDATA[",
    "{{ 7 * 7 }} {% raise %}",
    "",
)


@pytest.fixture(params=HOSTILE, ids=range(len(HOSTILE)))
def hostile(request):
    """One text that means harm somewhere."""
    return request.param


@pytest.fixture
def hostile_rows(hostile):
    """The text everywhere: in names, titles, outcomes of items, in everything a submission can write."""
    results = tuple(
        ItemResult(
            number=f"1.{i}{hostile}",
            title=hostile,
            function=hostile,
            outcome=outcome,
            points=0,
            max_points=1,
            what=hostile,
            hint=hostile,
            got=hostile,
            expected=hostile,
            check=hostile,
            line=i,
            reproduce=hostile,
        )
        for i, outcome in enumerate(Outcome)
        if outcome is not Outcome.GRADER_ERROR
    )
    grade = a_grade(
        *results,
        assignment=hostile,
        submission=hostile,
        file=hostile,
        isolation=Isolation(tier=hostile, not_enforced=(hostile,)),
        remarks=(hostile,),
    )
    student = Student(username=f"u{hostile}", **dict.fromkeys(("first_name", "last_name", "email", "sid"), hostile))
    return (
        Row(student=student, standing=Standing.GRADED, grade=grade, points=0.0, note=hostile),
        Row(student=Student(username=f"v{hostile}"), standing=Standing.MISSING_FILE, note=hostile),
    )


@pytest.fixture
def owed():
    """A grade with one item that the grader could not run."""
    trouble = ItemResult(
        number="1.1", title="forward", function="f", outcome=Outcome.GRADER_ERROR, points=0, max_points=4
    )
    return a_grade(trouble, *RESULTS[1:])


@pytest.fixture
def rows(grade, owed):
    """Everything that can become of a student."""

    def student(name, number):
        return Student(
            username=name,
            first_name=name.title(),
            last_name="Example",
            email=f"{name}@example.edu",
            section="A",
            sid=f"00{number}",
            canvas_id=str(number),
        )

    right = (
        replace(result, outcome=Outcome.PASSED, points=result.max_points, what="", hint="", line=None)
        for result in RESULTS
    )
    return (
        Row(student=student("ann", 1), standing=Standing.GRADED, grade=grade, points=4.5, note="1 day late: 10 % off"),
        Row(student=student("bob", 2), standing=Standing.NOT_SUBMITTED),
        Row(student=student("cho", 3), standing=Standing.MISSING_FILE, note="no layers.py; there is notes.txt"),
        Row(student=student("dee", 4), standing=Standing.GRADER_ERROR, grade=owed),
        Row(student=student("eve", 5), standing=Standing.GRADED, grade=a_grade(*right), points=16.0),
    )


class Page(HTMLParser):
    """The text of a page, and its tags."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text = set(), ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        assert not any(name.startswith("on") or name in {"src", "href"} for name, _ in attrs)

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def page():
    """Read HTML; attributes that load, link or run something are an error."""
    return Page


@pytest.fixture
def rendered():
    """Read Markdown as a renderer that lets HTML through shows it."""

    def render(text):
        return Page(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(text))

    return render


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare a text with a golden file; with --rewrite-golden, write it."""
    rewrite = request.config.getoption("--rewrite-golden", default=False)

    def compare(name: str, text: str) -> None:
        if rewrite:
            GOLDEN.mkdir(parents=True, exist_ok=True)
            (GOLDEN / name).write_bytes(text.encode())
        assert text == (GOLDEN / name).read_bytes().decode()

    return compare
