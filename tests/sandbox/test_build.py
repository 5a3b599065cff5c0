"""Hostile C, when it is compiled and when it is run: each attack gets through without a sandbox and not within."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from bnbench.adapters.uw.compiler import compile_here, compile_uw, find_compiler
from bnbench.adapters.uw.diagnosis import diagnose_compiled, find_memory_errors
from bnbench.adapters.uw.process import Here
from bnbench.adapters.uw.sandboxed import STAGES, compiler_in, stages_in
from bnbench.adapters.uw.stages import open_stages
from bnbench.diagnose.uw_stages import ARGUMENTS, stage_cases
from bnbench.sandbox.build import BUILD, build
from bnbench.sandbox.host import Sandbox
from bnbench.sandbox.tiers import IsolationError, Tier, at, probe
from bnbench.sandbox.zygote import SandboxError

if sys.platform != "linux":
    pytest.skip("the mechanisms are Linux's", allow_module_level=True)
if find_compiler() is None:
    pytest.skip("no C compiler", allow_module_level=True)

ROOT = Path(__file__).resolve().parent.parent.parent
BANK = ROOT / "tests" / "bank" / "uw"
MANIFEST = tomllib.loads((BANK / "bank.toml").read_text())
USER = 1500
AS_ROOT = os.geteuid() == 0
LEVELS = [("T2", 1), ("T2", None), ("T3", None), ("T4", None)]
sanitizers = pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc with its sanitizers")


@pytest.fixture(scope="module", params=LEVELS, ids=["T2-landlock1", "T2", "T3", "T4"])
def sandbox(request):
    tier, version = request.param
    try:
        isolation = at(probe(), Tier(tier), landlock_abi=version)
    except IsolationError as error:
        pytest.skip(str(error))
    with Sandbox(isolation) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def strongest():
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def folder():
    """A folder that everybody may enter and write, with a file that the grader alone may read."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    (folder / "secret").write_text("token_of_the_grader of 2026\n")
    (folder / "secret").chmod(0o600)
    yield folder
    shutil.rmtree(folder)


def command(*options):
    return [find_compiler(), "-fPIC", "-shared", *options, "a.c", "-o", "a.so"]


def plainly(source, *options):
    return compile_here(command(*options), {"a.c": source.encode()}, "a.so")


def confined(sandbox, source, *options, **limits):
    return build(sandbox, command(*options), {"a.c": source.encode()}, "a.so", replace(BUILD, **limits))


def test_an_honest_file_is_compiled_to_the_same_bytes_and_words(sandbox):
    source = '#include <math.h>\n#include <stdio.h>\nint f(void) { int unused; puts(""); return sqrt(4.0); }\n'
    here, there = plainly(source, "-Wall"), confined(sandbox, source, "-Wall")

    assert "unused" in here.words.decode()
    assert there == here


def test_a_file_of_the_grader_can_not_be_included(sandbox, folder):
    source = f'#include "{folder}/secret"\n'

    assert b"token_of_the_grader" in plainly(source).words
    assert b"token_of_the_grader" not in confined(sandbox, source).words


def test_a_file_of_the_grader_can_not_be_assembled_into_the_library(sandbox, folder):
    source = f'__asm__(".incbin \\"{folder}/secret\\"");\n'

    assert b"token_of_the_grader" in plainly(source).output
    assert confined(sandbox, source).output is None


def test_another_students_file_and_other_folders_can_not_be_written(sandbox, folder):
    """By a dependency file, the one thing that a source can't ask for but a command could."""
    options = ("-MD", "-MF", str(folder / "written"))

    assert plainly("int a;", *options).returncode == 0
    assert (folder / "written").exists()
    (folder / "written").unlink()
    assert confined(sandbox, "int a;", *options).returncode != 0
    assert not (folder / "written").exists()


def test_an_endless_file_is_not_read(sandbox):
    source = '#include "/dev/zero"\n'

    def limited():
        resource.setrlimit(resource.RLIMIT_AS, (1 << 28, 1 << 28))

    control = subprocess.run(
        [find_compiler(), "-E", "-x", "c", "-"], input=source.encode(), capture_output=True, check=False,
        preexec_fn=limited, timeout=60,
    )  # fmt: skip
    assert b"out of memory" in control.stderr
    words = confined(sandbox, source).words
    assert b"/dev/zero: " in words
    assert b"memory" not in words


MACRO_BOMB = "".join(f"#define m{i} m{i - 1} m{i - 1} m{i - 1} m{i - 1}\n" for i in range(1, 13))
MACRO_BOMB = "#define m0 int f(int);\n" + MACRO_BOMB + "m9\n"


LARGER = MACRO_BOMB.replace("m9\n", "m12\n")


def test_a_macro_bomb_uses_up_its_time_and_nothing_more(sandbox):
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    assert plainly(MACRO_BOMB).returncode == 0
    took = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    assert 64 * took > 4, "the larger one takes 64 times this"
    assert confined(sandbox, MACRO_BOMB).returncode == 0

    built = confined(sandbox, LARGER, cpu=1)

    assert built.returncode not in (0, None)
    assert b"CPU time limit exceeded" in built.words or b"Killed" in built.words


def test_the_memory_of_a_compiler_is_bounded_with_all_its_processes(sandbox):
    assert plainly("int a;").returncode == confined(sandbox, "int a;", memory=160 << 20).returncode == 0

    built = confined(sandbox, LARGER, memory=160 << 20, cpu=30)

    assert built.returncode not in (0, None)
    assert b"memory" in built.words


def test_a_compiler_past_its_deadline_is_ended_with_all_its_processes(sandbox):
    built = confined(sandbox, LARGER, wall=0.5)

    assert built.returncode is None
    assert left_running() == set()


def test_a_huge_array_is_not_written(sandbox):
    source = "char big[1 << 26] = {1};\n"

    assert len(plainly(source).output) > 1 << 26
    built = confined(sandbox, source)
    assert (built.returncode, built.output) != (0, None)
    assert built.output is None


def test_a_compiler_leaves_no_folder(strongest):
    before = {path.name for path in Path(tempfile.gettempdir()).glob("bnbench-*")}
    confined(strongest, "int a;")
    confined(strongest, "not C", wall=5)

    assert {path.name for path in Path(tempfile.gettempdir()).glob("bnbench-*")} <= before


def test_a_compiler_that_is_not_there_is_the_sandboxs_fault(strongest):
    with pytest.raises(SandboxError, match="No such file"):
        build(strongest, ["/usr/bin/no-such-compiler"], {}, "a.so")


def test_an_output_that_is_a_link_is_none(strongest, folder):
    """A linker would have to be talked into it; here a shell does what it could."""
    for script in (f"/usr/bin/ln -s {folder}/secret a.so", "/usr/bin/mkfifo a.so"):
        built = build(strongest, ["/bin/sh", "-c", script + "; exit 0"], {}, "a.so")
        assert (built.returncode, built.output) == (0, None)


RIGHT = (BANK / "correct_helpers.c").read_text()
HEAD = """
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
static void close_all(void) { for (int d = 0; d < 64; ++d) close(d); }
__attribute__((constructor)) static void attack(void)
{
    int taken = 0;
    %s
    fprintf(stderr, taken ? "TAKEN\\n" : "nothing\\n");
    _exit(3);
}
"""
ATTACKS = {
    "start_a_process": "int pid = fork(); if (pid == 0) _exit(0); taken = pid > 0;",
    "execute_a_program": 'execl("/bin/sh", "sh", "-c", "echo TAKEN >&2", NULL);',
    "write_a_file": 'taken = fopen("FOLDER/written", "w") != NULL;',
    "read_a_secret": 'char s[99] = ""; FILE *f = fopen("FOLDER/secret", "r");'
    ' taken = f && fgets(s, 99, f) && strstr(s, "token_of_the_grader");',
    "kill_a_process": "taken = kill(VICTIM, SIGTERM) == 0;",
    "open_a_socket": "taken = socket(AF_INET, SOCK_DGRAM, 0) >= 0;",
    "write_200_megabytes": 'static char block[1 << 20]; int d = open("FOLDER/large", O_CREAT | O_WRONLY, 0666);'
    " taken = 1; for (int i = 0; i < 200; ++i) taken &= write(d, block, sizeof block) == sizeof block;",
    "write_200_megabytes_of_words": "static char block[1 << 20]; memset(block, 'x', 1 << 20); signal(SIGXFSZ, SIG_IGN);"
    " taken = 1; for (int i = 0; i < 200; ++i) taken &= write(2, block, sizeof block) == sizeof block;"
    " if (taken) { ftruncate(2, 0); lseek(2, 0, SEEK_SET); }",
    "fork_bomb": "taken = 1; for (int i = 0; i < 100; ++i) { int pid = fork();"
    " if (pid == 0) { close_all(); sleep(60); _exit(0); } taken &= pid > 0; }",
    "memory_bomb": "size_t n = (size_t)900 << 20;"
    " char *p = mmap(0, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);"
    " if (p != MAP_FAILED) { for (size_t i = 0; i < n; i += 4096) p[i] = 1; taken = 1; }",
    "leave_a_daemon": "int pid = fork(); if (pid == 0) { setsid(); close_all(); if (fork() == 0) sleep(60); _exit(0); }"
    " wait(NULL); taken = pid > 0;",
    "make_memory_executable_for_a_program": 'int d = memfd_create("a", 0); taken = d >= 0;',
}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Files whose constructor attacks, each compiled once."""
    known = {}

    def compiled(body, *, sanitize):
        if (body, sanitize) not in known:
            text = "#define _GNU_SOURCE\n" + HEAD.replace("%s", body) + RIGHT
            folder = tmp_path_factory.mktemp("hostile")
            made = compile_uw(text.encode(), folder, compiler=find_compiler(), sanitize=sanitize)
            assert made.status == "compiled", made.message
            known[body, sanitize] = made
        return known[body, sanitize]

    return compiled


@pytest.fixture
def victim():
    victim = subprocess.Popen(["sleep", "60"])
    yield victim
    victim.kill()
    victim.wait()


def body_of(attack, folder, victim):
    return ATTACKS[attack].replace("FOLDER", str(folder)).replace("VICTIM", str(victim.pid))


def gets_through(compiled, launch):
    """Whether the constructor of a library says so, in the last words of its process."""
    (case, *_) = stage_cases()
    with open_stages(compiled, seconds=20, launch=launch) as call:
        answer = call("variance", case.groups, tuple(case.arrays[name] for name in ARGUMENTS["variance"]))
    assert answer.status == "crashed"
    return "TAKEN" in answer.detail


@pytest.fixture(scope="module")
def without(hostile):
    """Whether each attack gets through with the user's own rights, asked once."""
    known = {}

    def ask(attack, folder, victim):
        if attack not in known:
            compiled = hostile(body_of(attack, folder, victim), sanitize=False)
            known[attack] = gets_through(compiled, Here)
            for pid in mentioning("uw.py", str(compiled.library.resolve())):  # what it has left
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            (folder / "written").unlink(missing_ok=True)
            (folder / "large").unlink(missing_ok=True)
        return known[attack]

    return ask


@pytest.mark.parametrize("sanitize", [False, pytest.param(True, marks=sanitizers)], ids=["plain", "sanitized"])
@pytest.mark.parametrize("attack", ATTACKS)
def test_what_a_library_does_when_it_is_loaded(attack, sanitize, sandbox, folder, hostile, victim, without):
    assert without(attack, folder, victim), "the control"
    compiled = hostile(body_of(attack, folder, victim), sanitize=sanitize)
    launch = stages_in(sandbox, replace(STAGES, memory=640 << 20))
    if sanitize and not sandbox.isolation.namespaces and not reachable():
        with pytest.raises(SandboxError, match="not started: Permission denied"):
            gets_through(compiled, launch)
        return

    assert not gets_through(compiled, launch)
    assert not (folder / "written").exists()
    assert not (folder / "large").exists()
    assert left_running() == set()


def reachable():
    """Whether Python lies where the user of a worker may go."""
    path = Path(os.path.realpath(sys.executable))
    return not AS_ROOT or all(parent.stat().st_mode & 1 for parent in path.parents)


def test_an_endless_loop_ends_with_its_processor_time(sandbox, tmp_path):
    compiled = compile_uw((BANK / "infinite_loop.c").read_bytes(), tmp_path, compiler=find_compiler())
    (case, *_) = stage_cases()
    arguments = tuple(case.arrays[name] for name in ARGUMENTS["delta_mean"])

    with open_stages(compiled, seconds=0.5) as call:
        assert call("delta_mean", case.groups, arguments).status == "timeout", "the control"
    with open_stages(compiled, seconds=20.0, launch=stages_in(sandbox, replace(STAGES, cpu=1))) as call:
        assert call("delta_mean", case.groups, arguments).status == "crashed"
        assert call("variance", case.groups, tuple(case.arrays[n] for n in ARGUMENTS["variance"])).status == "returned"


@sanitizers
def test_an_over_read_is_found_in_the_sandbox_too(sandbox, tmp_path):
    if not sandbox.isolation.namespaces and not reachable():
        pytest.skip("at this tier the worker's user can't reach Python")
    source = (BANK / "over_read.c").read_bytes()
    options = {"compiler": find_compiler(), "sanitize": True}
    here = find_memory_errors(compile_uw(source, tmp_path, **options))

    there = find_memory_errors(
        compile_uw(source, tmp_path, **options, run=compiler_in(sandbox)), launch=stages_in(sandbox)
    )
    assert there == here
    assert [finding.kind for finding in there] == ["heap-buffer-overflow"]


def test_a_process_that_does_not_come_to_load_the_file_is_no_clean_bill(tmp_path):
    compiled = compile_uw(RIGHT.encode(), tmp_path, compiler=find_compiler())

    with pytest.raises(SandboxError, match="did not start: no-such-interpreter"):
        find_memory_errors(compiled, launch=_NotStarting)


class _NotStarting(Here):
    """A process that ends before it is ready, as one does whose interpreter finds no library."""

    def __init__(self, compiled):
        super().__init__(compiled)
        self._process.kill()
        self._process.wait()
        while os.read(self.replies, 100):
            pass

    def words(self, most):
        return b"no-such-interpreter"[:most]


@pytest.mark.slow
def test_every_file_of_the_bank_gets_the_same_diagnosis_in_the_sandbox(strongest, tmp_path):
    files = [entry["file"] for entry in (*MANIFEST["wrong"], *MANIFEST["correct"])]
    files += ["segfault.c", "unfinished.c", "not_compiling.c", "over_read.c"]
    for file in files:
        source = (BANK / file).read_bytes()
        here = compile_uw(source, tmp_path, compiler=find_compiler())
        there = compile_uw(source, tmp_path, compiler=find_compiler(), run=compiler_in(strongest))
        assert (there.status, there.message, there.functions) == (here.status, here.message, here.functions), file
        if here.status == "compiled":
            assert diagnose_compiled(there, launch=stages_in(strongest)) == diagnose_compiled(here), file
    assert len(files) >= 36


def left_running():
    """What the zygotes of this process have started and what that has left; waits for the killed to be gone."""
    for _ in range(50):
        found = {pid for zygote in mentioning("main.py", str(os.getpid())) for pid in children(zygote)}
        if not found:
            break
        time.sleep(0.02)
    return found


def mentioning(name, word):
    """Processes, zombies aside, that run a file of this name with this argument."""
    found = set()
    for arguments in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = arguments.read_bytes().decode(errors="replace").split("\0")
            if word in words and any(Path(w).name == name for w in words):
                found.add(int(arguments.parent.name))
    return found


def children(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return []


@pytest.mark.slow
@pytest.mark.skipif(not AS_ROOT or "BNBENCH_TEST_INNER" in os.environ, reason="from root alone")
def test_hostile_c_fares_the_same_when_an_ordinary_user_grades():
    """The same file again, under another user."""
    helper = Path(__file__).with_name("as_user.py")
    paths = [sys.base_prefix, sys.prefix, str(ROOT)]
    options = ["-q", "-m", "not slow", "-p", "no:cacheprovider", f"--rootdir={ROOT}"]
    command = [sys.executable, "-m", "pytest", *options, __file__]
    environment = os.environ | {"BNBENCH_TEST_INNER": "1", "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/"}
    run = subprocess.run(
        [sys.executable, str(helper), str(USER), *paths, "--", *command],
        capture_output=True, text=True, env=environment, cwd=ROOT, timeout=300, check=False,
    )  # fmt: skip

    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-1000:]
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (passed|skipped)", run.stdout)}
    assert counts["passed"] >= 2 * len(ATTACKS)
