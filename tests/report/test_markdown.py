from __future__ import annotations

import re

import pytest

from bnbench.report.markdown import code, console, prose, render_markdown


def test_the_text_is_the_golden_one(report, golden):
    golden("report.md", render_markdown(report))


@pytest.mark.parametrize("which", ["report", "hostile_report"])
def test_every_row_of_a_table_has_as_many_cells_as_its_head(which, request):
    text = render_markdown(request.getfixturevalue(which))
    tables = re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)

    assert len(tables) > 4
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("running_var is *off*", r"running_var is \*off\*"),
        ("<b> & [a](b) | `c` ~ $x$ #1", r"\<b\> \& \[a\](b) \| \`c\` \~ \$x\$ \#1"),
        ("_private", r"\_private"),
        ("two\nlines", "two<br>lines"),
        ("ask @somebody", "ask @&#8203;somebody"),
        ("\x1b[2J", r"\\x1b\[2J"),
    ],
)
def test_prose_shows_as_it_stands(text, shown):
    assert prose(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("numpy_staged", "`numpy_staged`"),
        ("<script>", "`<script>`"),
        ("a|b", "<code>a&#124;b</code>"),
        ("a`b", "<code>a&#96;b</code>"),
        ("a\nb", "<code>a&#92;nb</code>"),
        ("", "<code></code>"),
    ],
)
def test_a_name_is_code_whatever_it_holds(text, shown):
    assert code(text) == shown


def test_a_command_can_not_end_its_block():
    text = console("a ```` b")

    assert text.splitlines() == ["`````console", "$ a ```` b", "`````"]
