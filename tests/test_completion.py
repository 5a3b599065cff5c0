"""What a shell completes, asked as bash and zsh ask: through the environment."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bnbench import completion
from bnbench.checks import ALL_CHECKS

PROGRAM = Path(sys.executable).parent / "bnbench"


def ask(shell, line):
    """What the shell would offer at the end of this line."""
    words = line.split(" ")
    asked = {
        "bash": {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)},
        "zsh": {"_TYPER_COMPLETE_ARGS": line},
    }[shell]
    done = subprocess.run(
        [PROGRAM],
        env={**os.environ, **asked, "_BNBENCH_COMPLETE": f"complete_{shell}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return (
        done.stdout.splitlines()
        if shell == "bash"
        else re.findall(r'^(?:_arguments .*\(\()?"([^"]+)"', done.stdout, re.MULTILINE)
    )


@pytest.mark.parametrize("shell", ["bash", "zsh"])
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("bnbench check numpy_s", ["numpy_simplified", "numpy_staged"]),
        ("bnbench check --check BN30", ["BN301", "BN302", "BN303"]),
    ],
)
def test_a_shell_is_offered_what_begins_so(shell, line, offered):
    assert ask(shell, line) == offered


def test_commands_and_their_options_are_offered_too():
    assert ask("bash", "bnbench do") == ["doctor"]
    assert ask("bash", "bnbench doctor --no-c") == ["--no-color"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_the_script_of_bash_completes_in_bash():
    # The shell is not an argument of it: it is the one that runs.
    shown = ["bash", "--norc", "-c", f"{PROGRAM} --show-completion; true"]
    script = subprocess.run(shown, capture_output=True, text=True, check=True).stdout
    asked = f"COMP_WORDS=(bnbench train fc)\nCOMP_CWORD=2\n_bnbench_completion {PROGRAM}\necho ${{COMPREPLY[@]}}"
    done = subprocess.run(["bash", "--norc", "-c", f"{script}\n{asked}"], capture_output=True, text=True, check=True)

    assert done.stdout == "fc-digits\n"


@pytest.mark.parametrize(
    ("complete", "begun", "offered"),
    [
        (completion.implementations, "torch_n", ["torch_native"]),
        (completion.checks, "bn301", ["BN301"]),
        (completion.explained, "dva", ["dvar"]),
        (completion.explained, "bn301", ["BN301"]),
        (completion.cases, "float64/9x5/tr", ["float64/9x5/train"]),
        (completion.assignments, "uw", ["uw-batchnorm"]),
        (completion.experiments, "fc", ["fc-digits"]),
        (completion.operations, "b", ["backward"]),
        (completion.tiers, "T4", ["T4"]),
        (completion.needs, "sand", ["sandbox"]),
    ],
)
def test_every_name_is_offered(complete, begun, offered):
    assert [value for value, _ in complete(begun)][: len(offered)] == offered


def test_nothing_begins_with_nonsense_and_everything_with_nothing():
    assert completion.implementations("zzz") == []
    assert [code for code, _ in completion.checks("")] == [check.code for check in ALL_CHECKS]


def test_help_is_short_enough_for_a_line():
    assert max(len(about) for _, about in completion.checks("")) == completion.ABOUT


def test_offering_names_imports_nothing_heavy():
    code = (
        "import sys; from bnbench import completion as c; "
        "[f('') for f in (c.implementations, c.checks, c.explained, c.cases, c.assignments, c.operations, c.tiers)]; "
        "print({'torch', 'numba', 'pandas', 'pydantic', 'jinja2', 'vl_convert'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "set()\n"
