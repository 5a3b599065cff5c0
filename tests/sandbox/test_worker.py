"""A worker answers, and a submission that gives no answer gets the status that says why, at every tier."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from bnbench.sandbox.answers import AtMost, Call, Exactly, Handle, Keep, Other
from bnbench.sandbox.host import Sandbox
from bnbench.sandbox.limits import Limits
from bnbench.sandbox.tiers import IsolationError, Tier, at, probe
from bnbench.sandbox.worker import ALL, Status, SubmissionError
from bnbench.sandbox.zygote import SandboxError

STAGED = """
import numpy as np

def batchnorm_forward(x, gamma, beta, bn_param):
    mean = x.mean(axis=0)
    sd = np.sqrt(x.var(axis=0) + bn_param["eps"])
    x_hat = (x - mean) / sd
    bn_param["running_mean"] = 0.9 * bn_param["running_mean"] + 0.1 * mean
    return gamma * x_hat + beta, (x_hat, gamma, sd)

def batchnorm_backward(dout, cache):
    x_hat, gamma, sd = cache
    d = dout * gamma
    dx = (d - d.mean(axis=0) - x_hat * (d * x_hat).mean(axis=0)) / sd
    return dx, (dout * x_hat).sum(axis=0), dout.sum(axis=0)
"""


@pytest.fixture(scope="module", params=[*Tier])
def sandbox(request):
    try:
        isolation = at(probe(), request.param)
    except IsolationError as error:
        pytest.skip(str(error))
    with Sandbox(isolation) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def strongest():
    with Sandbox() as sandbox:
        yield sandbox


def asked(sandbox, text, *arguments, limits=None, **options):
    """What ``f`` of a submission answers."""
    with sandbox.worker(limits or Limits(wall=20)) as worker:
        worker.load(text, "layers.py")
        return worker.call("f", *arguments, **options)


def refused(sandbox, text, *, limits=None, **options):
    """How a submission whose ``f`` gives no answer is reported."""
    with pytest.raises(SubmissionError) as caught:
        asked(sandbox, text, limits=limits, **options)
    return caught.value


def test_a_forward_and_its_backward_give_what_they_give_in_this_process_bit_for_bit(sandbox):
    rng = np.random.default_rng(0)
    x, dy, gamma, beta = rng.normal(size=(4, 5)), rng.normal(size=(4, 5)), rng.normal(size=5), rng.normal(size=5)
    parameters = {"mode": "train", "eps": 1e-5, "running_mean": np.ones(5), "running_var": np.ones(5)}
    here: dict = {}
    exec(STAGED, here)  # noqa: S102 - the test's own text
    y, cache = here["batchnorm_forward"](x, gamma, beta, dict(parameters))

    with sandbox.worker() as worker:
        contents = worker.load(STAGED, "layers.py")
        forward, backward = worker.calls([
            Call(
                function="batchnorm_forward",
                arguments=(x, gamma, beta, parameters),
                wanted=(Exactly((4, 5)), Keep(7)),
                keys=("running_mean", "running_var", "absent"),
            ),
            Call(function="batchnorm_backward", arguments=(dy, Handle(7)), wanted=(AtMost(),) * 3),
        ])  # fmt: skip
        worker.finish()

    assert contents.functions == ("batchnorm_forward", "batchnorm_backward")
    assert forward.values[0].tobytes() == y.tobytes()
    assert forward.returned == 2
    assert forward.dicts[0].keys() == {"running_mean", "running_var"}
    assert forward.dicts[0]["running_mean"].tobytes() == (0.9 + 0.1 * x.mean(axis=0)).tobytes()
    for got, expected in zip(backward.values, here["batchnorm_backward"](dy, cache), strict=True):
        assert got.tobytes() == expected.tobytes()


def test_the_calls_of_a_numeric_gradient_give_in_one_request_what_they_give_here_bit_for_bit(strongest):
    rng = np.random.default_rng(1)
    x, gamma, beta = rng.normal(size=(6, 5)), rng.normal(size=5), rng.normal(size=5)
    parameters = {"mode": "train", "eps": 1e-5, "running_mean": np.ones(5)}
    here: dict = {}
    exec(STAGED, here)  # noqa: S102 - the test's own text
    nudged = [x + step * np.eye(30)[k].reshape(6, 5) for k in range(30) for step in (1e-5, -1e-5)]
    calls = [
        Call(function="batchnorm_forward", arguments=(a, gamma, beta, dict(parameters)), wanted=(Exactly((6, 5)), None))
        for a in nudged
    ]
    with strongest.worker() as worker:
        worker.load(STAGED, "layers.py")
        there = worker.calls(calls)

    for answer, a in zip(there, nudged, strict=True):
        assert answer.values[0].tobytes() == here["batchnorm_forward"](a, gamma, beta, dict(parameters))[0].tobytes()


def test_calls_of_several_functions_are_answered_in_their_order(strongest):
    calls = [
        Call(function=name, arguments=(k,), wanted=wanted)
        for k, (name, wanted) in enumerate([("f", (AtMost(),)), ("f", (AtMost(),)), ("g", (AtMost(),)), ("f", (None,)),
                                            ("f", (AtMost(),))])
    ]  # fmt: skip
    with strongest.worker() as worker:
        worker.load("def f(k):\n    return k\ndef g(k):\n    return -k", "layers.py")

        assert [answer.values for answer in worker.calls(calls)] == [(0,), (1,), (-2,), (), (4,)]


def test_a_path_that_is_granted_can_be_read_and_the_one_beside_it_can_not():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        for file in ("granted", "beside"):
            (folder / file).write_text(file)
        text = "def f(path):\n    with open(path) as file:\n        return file.read()"
        for tier in (Tier.T2, Tier.T3, Tier.T4):
            if tier > probe().tier:
                continue
            with (
                Sandbox(at(probe(), tier)) as sandbox,
                sandbox.worker(readable=(str(folder / "granted"),)) as worker,
                sandbox.worker() as other,
            ):
                worker.load(text, "layers.py")
                other.load(text, "layers.py")
                assert worker.call("f", str(folder / "granted")).values == ("granted",)
                for refused_worker, file in ((worker, "beside"), (other, "granted")):
                    with pytest.raises(SubmissionError, match=r"PermissionError|FileNotFoundError"):
                        refused_worker.call("f", str(folder / file))


def test_an_answer_as_large_as_allowed_arrives_and_a_byte_more_is_refused_by_this_side(strongest):
    """By the parent: the forged frame says what the submission's side would never let out."""
    limits = Limits(answer=4096, wall=20)
    text = "import numpy as np\ndef f():\n    return np.ones(400)"
    assert asked(strongest, text, limits=limits, wanted=(AtMost(3300),)).values[0].nbytes == 3200
    error = refused(strongest, FORGED + "def f():\n    frame(size=4097)\n    os._exit(0)", limits=limits, wanted=ALL)

    assert (error.status, error.detail.partition(" announced")[0]) == (Status.PROTOCOL, "4097 bytes")


def test_an_argument_that_is_changed_in_place_is_reported_and_the_callers_is_not_changed(strongest):
    x, z = np.ones(3), np.ones(3)

    answer = asked(strongest, "def f(x, a, z):\n    z[1] += 1e-300\n    z[2] = 0.0", x, 1.0, z)

    assert answer.changed == (2,)
    assert z.tolist() == [1.0, 1.0, 1.0]


def test_an_array_given_twice_reaches_each_call_unchanged_by_the_one_before(strongest):
    x = np.ones(3)
    call = Call(function="f", arguments=(x, x), wanted=(AtMost(),))
    with strongest.worker() as worker:
        worker.load("def f(a, b):\n    a[...] = 5.0\n    return b", "layers.py")

        assert [answer.values[0].tolist() for answer in worker.calls([call, call])] == [[1.0] * 3] * 2


def test_nan_infinity_and_empty_arrays_are_data(strongest):
    a = np.array([[np.nan, np.inf, -np.inf, -0.0]], dtype=np.float32)

    values = asked(strongest, "def f(a):\n    return a, a[:, :0], a[0, 0]", a).values

    assert values[0].tobytes() == a.tobytes()
    assert values[0].dtype == np.float32
    assert values[1].shape == (1, 0)
    assert values[2].shape == ()
    assert np.isnan(values[2])


def test_an_exception_comes_with_its_text_and_its_line_and_the_worker_lives_on(strongest):
    with strongest.worker() as worker:
        worker.load("def f(x):\n    return g(x)\n\ndef g(x):\n    return x + 1 / x\n", "layers.py")
        with pytest.raises(SubmissionError) as caught:
            worker.calls([Call(function="f", arguments=(x,), wanted=(AtMost(),)) for x in (1.0, 0.0, 2.0)])

        assert (caught.value.status, caught.value.detail) == (Status.ERROR, "ZeroDivisionError: float division by zero")
        assert (caught.value.line, caught.value.call) == (5, 1)
        assert worker.call("f", 1.0).values == (2.0,)


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise ValueError('\\x1b[31m\\x00 red')", "ValueError: ?[31m? red"),
        ("raise ValueError('a' * 10**6)", "ValueError: " + "a" * 488),
        ("return undefined", "NameError: name 'undefined' is not defined"),
    ],
)
def test_what_a_submission_raises_is_short_plain_text(strongest, body, detail):
    error = refused(strongest, f"def f():\n    {body}")

    assert (error.status, error.detail, error.line) == (Status.ERROR, detail, 2)


def test_a_function_that_is_not_there_is_named(strongest):
    assert refused(strongest, "g = 1").detail == "there is no function f"


@pytest.mark.parametrize(
    ("value", "detail"),
    [
        ("np.zeros((2, 3))", "result 0 of f has shape (2, 3), expected (3, 2)"),
        ("np.zeros((3, 2), np.float32)", "result 0 of f has dtype float32, expected float64"),
        ("None", "result 0 of f is NoneType, expected an array of shape (3, 2)"),
        ("()", "f returned 0 of 1 results"),
    ],
)
def test_a_result_of_another_shape_is_the_submissions_error_and_not_a_violation(strongest, value, detail):
    error = refused(strongest, f"import numpy as np\ndef f():\n    return {value}", wanted=(Exactly((3, 2)),))

    assert (error.status, error.detail) == (Status.ERROR, detail)


LIAR = """
import numpy as np
class Liar(np.ndarray):
    def __eq__(self, other): return np.ones(self.shape, bool)
    def __array_function__(self, *args, **kwargs): return True
class Pickled:
    def __reduce__(self): return (print, ("read",))
def f():
    return np.zeros(3).view(Liar), Pickled(), np.array([Pickled()]), [1.0], 10**30, np.zeros(3, complex), 1j
"""


def test_no_object_crosses_neither_a_subclass_of_an_array_nor_a_pickle(strongest):
    names = ["Liar", "Pickled", "array of object", "list", "int of more than 64 bits", "array of complex128", "complex"]

    assert asked(strongest, LIAR).values == tuple(map(Other, names))


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        ("import os\n    os._exit(0)", Status.CRASHED, "exited with status 0 and no answer"),
        ("import ctypes\n    ctypes.string_at(0)", Status.CRASHED, "ended by signal 11 (SIGSEGV)"),
        ("while True: pass", Status.TIMEOUT_WALL, "no answer within 0.3 s"),
        (
            "import signal, time\n    signal.signal(15, lambda *_: None)\n    time.sleep(60)",
            Status.TIMEOUT_WALL,
            "no answer within 0.3 s",
        ),
        ("import os\n    os.close(11)\n    while True: pass", Status.TIMEOUT_WALL, "no answer within 0.3 s"),
    ],
)
def test_code_that_does_not_come_back_is_ended_and_named(sandbox, body, status, detail):
    error = refused(sandbox, f"def f():\n    {body}", limits=Limits(wall=0.3))

    if "os.close(11)" in body:
        assert error.status in (Status.TIMEOUT_WALL, Status.PROTOCOL)
    else:
        assert (error.status, error.detail) == (status, detail)


@pytest.mark.parametrize("ignoring", ["", "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\n"])
def test_processor_time_is_limited_also_where_the_warning_is_ignored(sandbox, ignoring):
    unlimited = sandbox.isolation.tier == Tier.T0
    limits = Limits(wall=1.5 if unlimited else 20, cpu=1)

    error = refused(sandbox, ignoring + "def f():\n    while True: pass", limits=limits)

    assert error.status == (Status.TIMEOUT_WALL if unlimited else Status.TIMEOUT_CPU)


def test_memory_is_limited(sandbox):
    text = "import numpy as np\ndef f():\n    return len([np.ones(1 << 24) for _ in range(6)])"  # 128 MiB each
    limits = Limits(wall=20, memory=512 << 20)

    if sandbox.isolation.tier == Tier.T0:
        assert asked(sandbox, text, limits=limits).values == (6,)
    else:
        assert refused(sandbox, text, limits=limits).status == Status.MEMORY


def test_a_gigabyte_that_is_printed_goes_nowhere(sandbox):
    text = "import os\ndef f():\n    for _ in range(1024):\n        os.write(1, bytes(1 << 20))\n"
    text += "    print('x' * 10**7)\n    return 1.0"

    assert asked(sandbox, text).values == (1.0,)


FORGED = """
import os, struct
def listed(*values):
    return b"L" + struct.pack("<I", len(values)) + b"".join(values)
answer = listed(listed(listed(b"N"), b"I" + struct.pack("<q", 1), listed(), listed()))
def frame(magic=b"bnb1", operation=5, sequence=2, count=1, payload=answer, size=None):
    size = len(payload) if size is None else size
    os.write(11, struct.pack("<4sIIIQ", magic, operation, sequence, count, size) + payload)
"""


def test_a_well_formed_forgery_is_no_more_than_another_way_to_return(strongest):
    assert asked(strongest, FORGED + "def f():\n    frame()\n    os._exit(0)", wanted=(AtMost(80),)).values == (None,)


@pytest.mark.parametrize(
    "body",
    [
        "os.write(11, b'100 points' * 10)",
        "frame(magic=b'evil')",
        "frame(operation=3)",
        "frame(operation=99)",
        "frame(sequence=3)",
        "frame(count=2)",
        "frame(payload=listed(listed(listed(b'N', b'N'), b'I' + struct.pack('<q', 1), listed(), listed())))",
        "frame(payload=listed(listed(listed(b'B' + bytes(4)), b'I' + struct.pack('<q', 1), listed(), listed())))",
        "frame(payload=listed(listed(listed(b'N'), b'N' + bytes(9), listed(), listed())))",
        "frame(payload=listed(listed(listed(b'N'), b'I' + struct.pack('<q', 1), listed(), listed(b'N'))))",
        "frame(payload=listed(listed(listed(b'N'), b'I' + struct.pack('<q', 1), listed(listed()), listed())))",
        "frame(payload=b'L' + bytes(1 << 10))",
        "frame(size=1 << 60)",
        "frame(size=0)",
        "frame(operation=6, payload=b'L' + struct.pack('<I', 1 << 31))",
        "frame(operation=6, payload=b'N')",
        "frame(payload=b'R' + bytes(60))",
        "frame(payload=b'N' * 60)",
        "frame(payload=b'A' + struct.pack('<BB2Q', 0, 2, 1 << 62, 4) + bytes(40))",
        "os.close(11)",
    ],
)
def test_a_forged_answer_is_a_violation(strongest, body):
    error = refused(
        strongest, FORGED + f"def f():\n    {body}\n    os._exit(0)", limits=Limits(wall=2), wanted=(AtMost(80),)
    )

    assert error.status == (Status.CRASHED if body == "os.close(11)" else Status.PROTOCOL)


def test_what_is_written_beside_the_answers_is_a_violation_before_the_next_request_and_at_the_end(strongest):
    text = "import os, threading\ndef f():\n    threading.Timer(0.05, os.write, (11, b'more')).start()\n    return 1.0"
    with strongest.worker() as worker:
        worker.load(text, "layers.py")
        assert worker.call("f").values == (1.0,)
        time.sleep(0.3)
        with pytest.raises(SubmissionError, match="protocol: wrote something unasked"):
            worker.call("f")

    with strongest.worker() as worker:
        worker.load(text, "layers.py")
        worker.call("f")
        time.sleep(0.3)
        with pytest.raises(SubmissionError, match="protocol: wrote more than the answers"):
            worker.finish()


def test_an_answer_that_drips_is_late_however_often_a_byte_comes(strongest):
    text = (
        FORGED
        + "import time\ndef f():\n    frame(size=80)\n    while True:\n        os.write(11, b'x'); time.sleep(0.02)"
    )

    error = refused(strongest, text, limits=Limits(wall=0.5), wanted=(AtMost(80),))

    assert error.status == Status.TIMEOUT_WALL


def test_no_frame_is_accepted_from_a_module_while_it_is_loaded(strongest):
    with strongest.worker() as worker, pytest.raises(SubmissionError) as caught:
        worker.load(FORGED + "frame(operation=3, sequence=1, payload=b'N')\nos._exit(0)", "layers.py")

    assert caught.value.status == Status.PROTOCOL


def test_an_answer_larger_than_the_limit_is_not_asked_for_and_not_read(strongest):
    limits = Limits(answer=1 << 16)

    with pytest.raises(ValueError, match="the limit is 65536"):
        asked(strongest, "def f(): pass", limits=limits, wanted=(Exactly((1 << 14,)),))
    assert refused(
        strongest, "import numpy as np\ndef f():\n    return np.zeros(1 << 15)", wanted=(AtMost(1 << 10),)
    ).detail == ("result 0 of f has 262144 bytes, expected at most 1024")


def test_one_worker_does_not_see_what_another_left_in_modules(strongest):
    assert asked(strongest, "import numpy as np\nnp.left = 1\ndef f():\n    return hasattr(np, 'left')").values == (
        True,
    )
    assert asked(strongest, "import numpy as np\ndef f():\n    return hasattr(np, 'left')").values == (False,)


def test_a_worker_has_its_two_pipes_and_no_other_descriptor(sandbox):
    text = """
import os
def is_open(descriptor):
    try:
        return os.fstat(descriptor) is not None
    except OSError:
        return False
def f():
    return ",".join(str(d) for d in range(64) if is_open(d))
"""
    assert asked(sandbox, text).values == ("0,1,2,10,11",)


def test_a_worker_holds_nothing_of_the_grader(strongest):
    text = "import sys, gc\ndef f():\n    return ','.join(m for m in sys.modules if 'bnbench' in m), len(sys.argv)"

    assert asked(strongest, text).values[0] == ""


def test_a_fork_bomb_leaves_nothing(sandbox):
    text = "import os, time\ndef f():\n    for _ in range(6): os.fork()\n    time.sleep(60)"  # 64 processes, no more
    asked(sandbox, "def f():\n    return True")  # the zygote is there
    before = zygotes(os.getpid())
    refused(sandbox, text, limits=Limits(wall=0.5))

    for _ in range(100):
        left = zygotes(os.getpid()) - before
        if not left:
            break
        time.sleep(0.02)
    assert not left


def test_a_closed_sandbox_leaves_no_process_and_no_descriptor():
    with Sandbox():
        pass  # what the first one imports and opens for good
    before, descriptors = zygotes(os.getpid()), len(list(Path("/dev/fd").iterdir()))

    with Sandbox() as sandbox:
        worker = sandbox.worker()
        worker.load("def f(): pass", "layers.py")
        assert len(zygotes(os.getpid()) - before) >= 2
    with pytest.raises(SandboxError, match="the worker has ended"):
        worker.call("f")

    assert eventually(lambda: zygotes(os.getpid()) - before, set())
    assert len(list(Path("/dev/fd").iterdir())) == descriptors


@pytest.mark.parametrize("tier", [*Tier])
def test_nothing_is_left_when_the_grader_is_killed(tier):
    if tier > probe().tier:
        pytest.skip(str(probe().why))
    text = f"""
import sys
from bnbench.sandbox.host import Sandbox
from bnbench.sandbox.tiers import at, probe
with Sandbox(at(probe(), "{tier}")) as sandbox, sandbox.worker() as worker:
    worker.load("def f():\\n    while True: pass", "layers.py")
    print("ready", flush=True)
    worker.call("f")
"""
    grader = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE)
    assert grader.stdout.readline() == b"ready\n"
    assert len(zygotes(grader.pid)) >= 2

    grader.send_signal(signal.SIGKILL)
    grader.wait()
    grader.stdout.close()

    assert eventually(lambda: zygotes(grader.pid), set())


def zygotes(grader):
    """The processes, zombies aside, that belong to a grader's sandboxes."""
    found = set()
    for arguments in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = arguments.read_bytes().decode(errors="replace").split("\0")
            if any(word.endswith("child/main.py") for word in words) and str(grader) in words:
                found.add(int(arguments.parent.name))
    return found


def eventually(ask, expected):
    for _ in range(250):
        if ask() == expected:
            return True
        time.sleep(0.02)
    return False
