"""What holds for every format."""

from __future__ import annotations

import pytest

from bnbench.report import FILES, dump_json, parse_json


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("which", ["report", "large_report", "empty_report", "hostile_report"])
def test_every_file_renders_every_report(name, which, request):
    text = FILES[name](request.getfixturevalue(which))

    assert text.encode("utf-8").endswith(b"\n")
    assert "\r" not in text


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_the_same_from_a_report_that_was_written_and_read(name, report):
    assert FILES[name](parse_json(dump_json(report))) == FILES[name](report)
