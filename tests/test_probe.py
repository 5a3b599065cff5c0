"""The probe: what a student's functions compute is kept, with its origin, and the functions do not notice."""

from __future__ import annotations

import ast
import linecache
import operator
import sys
import textwrap
import traceback
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnbench.sandbox.child.load import load
from bnbench.sandbox.child.probe import Call, Recorder, Result, instrument, reachable, record

ROOT = Path(__file__).resolve().parent.parent

STAGED_BACKWARD = """
def batchnorm_backward(dout, cache):
    xhat, gamma, xmu, ivar, sqrtvar, var, eps = cache
    N, D = dout.shape
    dbeta = np.sum(dout, axis=0)
    dgamma = np.sum(dout * xhat, axis=0)
    dxhat = dout * gamma
    divar = np.sum(dxhat * xmu, axis=0)
    dxmu1 = dxhat * ivar
    dsqrtvar = -1. / (sqrtvar**2) * divar
    dvar = 0.5 * 1. / np.sqrt(var + eps) * dsqrtvar
    dsq = 1. / N * np.ones((N, D)) * dvar
    dxmu2 = 2 * xmu * dsq
    dmu = -1 * np.sum(dxmu1 + dxmu2, axis=0)
    dx2 = 1. / N * np.ones((N, D)) * dmu
    dx = dxmu1 + dxmu2 + dx2
    return dx, dgamma, dbeta
"""

ZOO = {
    "staged": """
def batchnorm_forward(x, gamma, beta, bn_param):
    '''The course's words.'''
    eps = bn_param.get("eps", 1e-5)
    N, D = x.shape
    mu = 1. / N * np.sum(x, axis=0)
    xmu = x - mu
    sq = xmu ** 2
    var = 1. / N * np.sum(sq, axis=0)
    sqrtvar = np.sqrt(var + eps)
    ivar = 1. / sqrtvar
    xhat = xmu * ivar
    out = gamma * xhat + beta
    bn_param["running_mean"] = mu
    cache = (xhat, gamma, xmu, ivar, sqrtvar, var, eps)
    return out, cache
"""
    + STAGED_BACKWARD,
    "closed form, keepdims, dict cache, reused names": """
def batchnorm_forward(x, gamma, beta, bn_param):
    eps = bn_param.setdefault("eps", 1e-5)
    t = x.mean(0, keepdims=True)
    u = x.var(axis=0, keepdims=True)
    t = (x - t) / np.sqrt(u + eps)
    cache = {"t": t, "u": u, "eps": eps}
    cache["gamma"] = gamma
    return gamma * t + beta, cache

def batchnorm_backward(dout, cache):
    t, g = cache["t"], cache["gamma"]
    N = len(dout)
    db, dg = dout.sum(0), (dout * t).sum(0)
    dx = g / N / np.sqrt(cache["u"] + cache["eps"]) * (N * dout - db - t * dg)
    return dx, dg, db
""",
    "one long expression and a lambda": """
batchnorm_forward = lambda x, g, b, p: (
    g * (x - x.mean(0)) / np.sqrt(x.var(0) + p.get("eps", 1e-5)) + b,
    ((x - x.mean(0)) / np.sqrt(x.var(0) + p.get("eps", 1e-5)), np.sqrt(x.var(0) + p.get("eps", 1e-5)), g))
def batchnorm_backward(d, cache):
    return (lambda h, s, g, n=d.shape[0]: (
        g / s * (d - d.sum(0) / n - h * (d * h).sum(0) / n), (d * h).sum(0), d.sum(0)))(*cache)
""",
    "triple loops of scalars": """
def batchnorm_forward(x, gamma, beta, bn_param):
    N, D = x.shape
    out, xh, iv = np.zeros((N, D)), np.zeros_like(x), [0.0] * D
    for j in range(D):
        m = v = 0.0
        for i in range(N):
            m += x[i, j]
        m = m / N
        for i in range(N):
            v += (x[i][j] - m) ** 2
        v /= N
        iv[j] = 1.0 / np.sqrt(v + 1e-5)
        for i in range(N):
            xh[i, j] = (x[i, j] - m) * iv[j]
            out[i, j] = gamma[j] * xh[i, j] + beta[j]
    return out, [xh, gamma, iv]

def batchnorm_backward(dout, cache):
    xh, gamma, iv = cache
    N, D = dout.shape
    dx = np.zeros((N, D)); dgamma = np.zeros(D); dbeta = np.zeros(D)
    for j in range(D):
        for i in range(N):
            dgamma[j] += dout[i, j] * xh[i, j]
            dbeta[j] += dout[i, j]
        for i in range(N):
            for k in range(N):
                same = 1 if i == k else 0
                dx[i, j] += gamma[j] * iv[j] / N * (N * same - 1 - xh[i, j] * xh[k, j]) * dout[k, j]
    return dx, dgamma, dbeta
""",
    "samples one by one, accumulating in place through views": """
def batchnorm_forward(x, gamma, beta, bn_param):
    mu = np.zeros(x.shape[1])
    for row in x:
        mu += row
    mu /= x.shape[0]
    xc = x.copy()
    for i, row in enumerate(xc):
        row -= mu
    var = sum(row * row for row in xc) / x.shape[0]
    np.multiply(xc, 1 / np.sqrt(var + 1e-5), out=xc)
    out = np.empty_like(x)
    np.copyto(out, xc)
    out *= gamma
    out += beta
    return out, (xc, gamma, np.sqrt(var + 1e-5))

def batchnorm_backward(dout, cache):
    h, gamma, sd = cache
    N, _ = dout.shape
    dgamma = np.einsum("nd,nd->d", dout, h)
    dbeta = np.ones(N).dot(dout)
    dx = np.zeros(dout.T.shape)
    view = dx.T
    for n in range(N):
        view[n] += gamma * dout[n] / sd
    view -= (gamma * (dbeta + h * dgamma) / sd) / N
    return dx.T, dgamma, dbeta
""",
    "helpers and a class": """
class Norm:
    EPS = 1e-5
    def __init__(self, gamma, beta):
        self.gamma, self.__beta = gamma, beta
        self.count = 0
    def __call__(self, x):
        self.count += len(x)
        self.h = self.normalize(x)
        return self.gamma * self.h + self.__beta
    @staticmethod
    def centred(x):
        return x - mean(x)
    def normalize(self, x):
        c = Norm.centred(x)
        self.sd = np.sqrt(mean(c * c) + self.EPS)
        return c / self.sd

def mean(a):
    return total(a) / a.shape[0]

def total(a, start=0):
    return a[0] if len(a) == start + 1 else a[0] + total(a[1:])

def batchnorm_forward(x, gamma, beta, bn_param):
    norm = Norm(gamma, beta)
    return norm(x), norm

def batchnorm_backward(dout, norm):
    h = norm.h
    dh = norm.gamma * dout
    return (dh - mean(dh) - h * mean(dh * h)) / norm.sd, total(dout * h), total(dout)
""",
    "comprehensions, transposed, reshape chains, try and with": """
import contextlib

def columns(x):
    for column in x.T:
        yield column.reshape(-1, 1).ravel()

def batchnorm_forward(x, gamma, beta, bn_param):
    try:
        eps = bn_param["eps"]
    except KeyError:
        eps = 1e-5
    finally:
        D = x.shape[-1]
    mus = [c.mean() for c in columns(x)]
    sds = [(lambda v: np.sqrt(v + eps))(((c - m) ** 2).mean()) for c, m in zip(columns(x), mus)]
    rows = [[(x[n, d] - mus[d]) / sds[d] for d in range(D)] for n in range(len(x))]
    h = np.array(rows)
    with np.errstate(all="raise") as state, contextlib.nullcontext(h * gamma) as scaled:
        out = scaled + beta
    return out, (h.T.reshape(D, -1), np.array(sds), gamma)

def batchnorm_backward(dout, cache):
    h, sd, gamma = cache[0].T, *cache[1:]
    dgamma, dbeta = (np.array([float(s) for s in (a).sum(axis=0)]) for a in (dout * h, dout))
    if (n := dout.shape[0]) > 1:
        dx = (gamma / sd)[None, :] * (dout - (dbeta + h * dgamma)[:, ...] / n)
    return dx, dgamma, dbeta
""",
    "a closure, nonlocal, and the cache in bn_param": """
def batchnorm_forward(x, gamma, beta, bn_param):
    n = 0
    def mean(a):
        nonlocal n
        n += 1
        def scaled(s): return s / a.shape[0]
        return scaled(np.add.reduce(a))
    xc = x - mean(x)
    sd = np.power(mean(xc**2) + 1e-5, .5)
    bn_param |= {"h": xc / sd, "sd": sd, "gamma": gamma}
    return np.add(gamma * bn_param["h"], beta), bn_param

def batchnorm_backward(dout, bn_param):
    h, sd, gamma = map(bn_param.get, ("h", "sd", "gamma"))
    dgamma = np.zeros_like(gamma); dbeta = dgamma.copy()
    for i in range(dout.shape[0]):
        dgamma[:] += (dout * h)[i]
        dbeta[...] = dbeta + dout[i]
    dx = gamma * dout
    dx -= dx.mean(axis=0) + h * (gamma * dgamma / dout.shape[0])
    dx /= sd
    return dx, dgamma, dbeta
""",
}

OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
OPERATORS |= {ast.Pow: operator.pow, ast.MatMult: operator.matmul}


def executed(source, *, probed, names=None):
    """The namespace of a module, and a recorder for it."""
    source = "import numpy as np\n" + textwrap.dedent(source)
    linecache.cache["layers.py"] = (len(source), None, source.splitlines(keepends=True), "layers.py")
    tree, sites = ast.parse(source), ()
    if probed:
        tree, sites = instrument(tree, source, names)
    namespace = {"__name__": "layers"}
    exec(compile(tree, "layers.py", "exec"), namespace)  # noqa: S102
    return namespace, Recorder(sites)


def arrays():
    rng = np.random.default_rng(3)
    return rng.normal(2, 3, (6, 4)), rng.normal(size=4), rng.normal(size=4), rng.normal(size=(6, 4))


def script():
    x, gamma, beta, dout = arrays()
    return [
        Call("batchnorm_forward", (x, gamma, beta, {"mode": "train"})),
        Call("batchnorm_backward", (dout, Result(0, (1,)))),
    ]


def traced(source, *, replace=None, names=None, calls=None):
    namespace, recorder = executed(source, probed=True, names=names)
    return record(namespace, recorder, script() if calls is None else calls, replace=replace)


def plainly(source):
    namespace, _ = executed(source, probed=False)
    x, gamma, beta, dout = arrays()
    out, cache = namespace["batchnorm_forward"](x, gamma, beta, {"mode": "train"})
    return out, *namespace["batchnorm_backward"](dout, cache)


def outputs(trace):
    assert trace.error is None
    return trace.results[0][0], *trace.results[1]


def same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def of(trace, role, name):
    """Indices of the events of a role and name."""
    places = [trace.sites[event.site] for event in trace.events]
    return [i for i, place in enumerate(places) if (place.role, place.name) == (role, name)]


def ancestors(trace, event):
    """All events that this one was computed from, however indirectly."""
    found, todo = set(), [event]
    while todo:
        inputs = [i for i in trace.events[todo.pop()].inputs if i not in found]
        found.update(inputs)
        todo += inputs
    return found


# -- the code does not notice -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", ZOO)
def test_a_probed_module_answers_bit_for_bit_what_it_answers_without(style):
    assert all(same(a, b) for a, b in zip(outputs(traced(ZOO[style])), plainly(ZOO[style]), strict=True))


@pytest.mark.parametrize("style", ZOO)
def test_the_styles_of_the_zoo_are_batch_normalization(style):
    """So that what the other tests say of them is said of code that students write."""
    for got, expected in zip(plainly(ZOO[style]), plainly(ZOO["staged"]), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-11, atol=1e-12)


LANGUAGE = {
    "short circuits": "def f(x, log): return (x and log(1) or log(2), 0 and log(3), log(4) if x else log(5))",
    "order of evaluation": """
        def f(x, log):
            a = {log("k"): log("v")}
            a[log("key")], b = log("value"), log("b")
            a[log("at")] = a[log("v2") and "key"] = log("last")
            log([1, 2])[log(0)] += log(7)
            return log(1) - log(2) * log(3), log(4)(x) if 0 else log(5), [*log([1]), *log([2])], a, b
    """,
    "chained comparison": "def f(x, log): return log(1) < log(3) > log(2) == log(2), log(2) < log(1) < log(0)",
    "generators are lazy": """
        def g(log):
            try:
                got = yield log("first")
                while got:
                    got = yield log(got) + 1
            finally:
                log("closed")
        def f(x, log):
            a = g(log); log(next(a)); log(a.send(4)); a.close()
            for i in g(log):
                break
            log("after")
            return list(v for v in (log(i) for i in range(3)) if v), sum(i for i in [1, 2])
    """,
    "try, finally, else": """
        def f(x, log):
            for i in range(4):
                try:
                    if i == 1: continue
                    if i == 2: raise ValueError(log("boom"))
                    if i == 3: return log("returned"), 1 / i
                except ValueError as error:
                    log(str(error))
                else:
                    log("else")
                finally:
                    log("finally")
    """,
    "closures over loop variables": """
        def f(x, log):
            fs = [lambda a, k=k: (a, k, i) for i, k in enumerate("ab")]
            i = 3
            def late(): return i
            i += 1
            return [g(i) for g in fs], late()
    """,
    "global and nonlocal": """
        total = [0]; count = 0
        def f(x, log):
            global count
            n = 1
            def up():
                nonlocal n
                global count
                n += 1; count += n
                total[0] += n
            up(); up()
            return n, count, total
    """,
    "star arguments": """
        def g(a, /, b, *rest, c=3, **more): return a, b, rest, c, more
        def f(x, log): return g(*[1, 2, 3], **{"c": 4, "d": 5}), g(1, b=2, z=9), (lambda *a, **k: (a, k))(1, *[2], y=3)
    """,
    "starred targets and swaps": """
        def f(x, log):
            a, *b, (c, d) = 1, 2, 3, (4, 5)
            a, c = c, a
            (e, [*g]), h = (1, "xyz"), {2}
            i = j, k = [7, 8]
            for m, (n, *o) in zip("ab", [[1, 2], (3, 4, 5)]): log((m, n, o))
            return a, b, c, d, e, g, h, i, j, k
    """,
    "in place on aliases": """
        def f(x, log):
            a = b = np.ones(3); c = [1]; d = c; e = f = 1.0
            a += 1; b[0] = 7; c += [2]; e += 1; a[1:] *= 2; b.T[2] -= 1
            return a, b, a is b, c, d, c is d, e, f
    """,
    "del and unbound names": """
        def f(x, log):
            a = {"k": 1, "l": 2}; b = 1
            del a["k"], b
            try: return b
            except UnboundLocalError as error: return a, str(error)
    """,
    "walrus": """
        def f(x, log):
            if (n := len("abc")) > 2: log(n)
            return [last := i for i in range(3)], last, (m := n + 1), m
    """,
    "f-strings": "def f(x, log): n = 3; return f'{n + 1:>{n}} {x!r} {[i * 2 for i in range(2)]}'",
    "classes": """
        class A:
            __slots__ = ("v",)
            def __init__(self, v): self.v = v
            def __iadd__(self, o): self.v += o; return self
            @property
            def twice(self): return 2 * self.v
        class B(A):
            def __init__(self, v): super().__init__(v + 1); self.__own = 3
            def own(self): return self.__own, __class__.__name__
            __slots__ = ("__own",)
            @classmethod
            def made(cls, *a): return cls(*a)
        def f(x, log):
            b = B.made(1); c = b; b += 5; b.v -= 1
            class Local:
                y = 2; z = y + 1; w = [k for k in range(z)]
                def m(self): return self.y + x
            return c.twice, b.own(), c is b, Local.z, Local.w, Local().m()
    """,
    "match": """
        def f(x, log):
            match {"a": [1, 2], "b": 3}:
                case {"a": [p, *q], **rest} if p < log(2): return p, q, rest
    """,
    "decorators and defaults": """
        def twice(g):
            def h(*a): return 2 * g(*a)
            return h
        @twice
        def g(a, b=[1 + 1]): return a + b[0]
        def f(x, log):
            k = 5
            @twice
            def local(a, b=k + 1, *, c=lambda: k): return a * b + c()
            return g(1), local(2), g.__name__
    """,
    "lambda in the iterable of a comprehension": "def f(x, log): return [i for i in (lambda a=2: range(a + 1))()]",
    "super, locals and eval see their own frame": """
        def f(x, log):
            y = x + 1
            return eval("y * 2"), locals()["y"], sorted(k for k in vars() if not k.startswith("__"))
    """,
    "while, break and else": """
        def f(x, log):
            n = 0
            while (n := n + 1) < 5:
                if n % 3 == 0: break
            else: log("no")
            for k in (): pass
            else: log("yes")
            return n
    """,
    "annotations": """
        def f(x: "anything", log) -> nothing_that_exists_would_do if False else None:
            a: int = 3
            b: undefined_name[1] = a + 1
            c: int
            return a, b
    """,
    "numbers keep their types": """
        def f(x, log): return [type(v).__name__ for v in (1 + 1, 1 / 2, -x, +True, np.float32(1) * 2, x[0] if 0 else 2j,
                               np.ones(2)[0], np.int64(3) // 2, 10 ** 30, ~5, np.ones(()) + 1, True & False)]
    """,
    "recursion to some depth": "def f(x, log, n=700): return n if n == 0 else f(x, log, n - 1) + 1",
    "await": """
        async def g(a): return a + 1
        def f(x, log):
            try: (h := g(1)).send(None)
            except StopIteration as stop: return stop.value
    """,
    "docstrings and signatures": """
        def g(a, *, b: int = 1): "words"; return a
        def f(x, log):
            import inspect
            return g.__doc__, str(inspect.signature(g)), g(1, b=2)
    """,
    "unpacking asks an iterator for no more than it needs": """
        def f(x, log):
            i = iter(range(9))
            try: a, b = i
            except ValueError as error: log(str(error))
            return next(i)
    """,
}


@pytest.mark.parametrize("feature", LANGUAGE)
def test_a_probed_function_means_what_it_meant(feature):
    seen = []
    for probed in (False, True):
        log = []

        def note(value, log=log):
            log.append(repr(value))
            return value

        namespace, recorder = executed(LANGUAGE[feature], probed=probed)
        if probed:
            namespace["__probe__"] = recorder
            recorder.start({})
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(2 * limit)
        try:
            seen.append((repr(namespace["f"](3, note)), log))
        finally:
            sys.setrecursionlimit(limit)
    assert seen[0] == seen[1]


@pytest.mark.parametrize("feature", LANGUAGE)
def test_without_a_recorder_at_work_a_probed_function_means_the_same_too(feature):
    plain, probed = (executed(LANGUAGE[feature], probed=probed)[0]["f"] for probed in (False, True))
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(2 * limit)
    try:
        assert repr(probed(3, lambda value: value)) == repr(plain(3, lambda value: value))
    finally:
        sys.setrecursionlimit(limit)


FAILING = {
    "an undefined name": "y = x + 1\n    return y * undefined",
    "shapes that do not broadcast": "return (x +\n            x[1:])",
    "a key that is not there": "d = {}\n    return d['k'] + 1",
    "an attribute that is not there": "return x.mena(0)",
    "too many to unpack": "a, b = x\n    return a",
    "not enough to unpack": "a, b, c = 1, 2\n    return a",
    "a number is unpacked": "a, b = 3\n    return a",
    "a number is iterated": "for i in len(x): pass",
    "a division": "return 1 // (len(x) - 6)",
    "a store that does not fit": "x[0] = x\n    return x",
    "an update that does not fit": "x += np.ones(9)\n    return x",
    "a missing argument": "return np.sum()",
    "a chain of methods over lines": "return (x\n        .sum(0)\n        .reshape(9)\n        )",
    "in a helper": "def helper(a):\n        b = a\n        return b + 'a'\n    return helper(x)",
    "in a lambda and a comprehension": "return [(lambda a: a /\n                ())(i) for i in x]",
    "a wrong keyword": "return np.mean(x, axsi=0)",
    "endless recursion": "def g(n): return g(n + 1)\n    return g(0)",
    "an exception that is raised": "raise ValueError('Invalid mode %s' % len(x))",
    "None has no items": "y = None\n    return y[0]",
    "not defined yet": "y += 1\n    return y",
    "the program is left": "import sys\n    sys.exit(3)",
}


@pytest.mark.parametrize("failing", FAILING)
def test_an_exception_is_reported_as_python_reports_it(failing):
    source = f"def f(x):\n    {FAILING[failing]}\n"
    namespace, _ = executed(source, probed=False)
    x = arrays()[0]
    with pytest.raises((Exception, SystemExit)) as caught:
        namespace["f"](x)
    frames = [f for f in traceback.extract_tb(caught.value.__traceback__) if f.filename == "layers.py"]

    error = traced(source, calls=[Call("f", (x,))]).error

    assert (error.type, error.line) == (type(caught.value).__name__, frames[-1].lineno)
    assert error.message.partition(" exceeded")[0] == str(caught.value).partition(" exceeded")[0]  # in what, varies
    assert error.text == linecache.getline("layers.py", error.line).strip()
    assert error.function.rpartition(".")[2] == frames[-1].name


def test_a_run_that_fails_keeps_what_happened_until_then():
    trace = traced("def f(x):\n    y = x + 1\n    z = y * nothing\n    return z\n", calls=[Call("f", (2.0,))])

    assert [float(event.value) for event in trace.events] == [2.0, 3.0, 3.0]
    assert trace.results == ()


def test_a_keyboard_interrupt_is_passed_on():
    with pytest.raises(KeyboardInterrupt):
        traced("def f():\n    raise KeyboardInterrupt\n", calls=[Call("f")])


def test_a_forward_that_returns_none_is_an_error_of_the_call_that_needs_its_cache():
    trace = traced("def f(x): pass\ndef g(c): return c\n", calls=[Call("f", (1.0,)), Call("g", (Result(0, (1,)),))])

    assert trace.results == (None,)
    assert (trace.error.type, trace.error.line) == ("TypeError", None)


# -- what is recorded -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", ZOO)
def test_every_operation_equals_itself_recomputed_from_its_inputs(style):
    trace = traced(ZOO[style])
    seen = 0
    for event in trace.events:
        place = trace.sites[event.site]
        node = ast.parse(f"({place.text})", mode="eval").body
        if place.role != "expression" or not isinstance(node, ast.BinOp):
            continue
        inputs = iter(event.inputs)
        operands = []
        for operand in (node.left, node.right):
            try:
                operands.append(ast.literal_eval(operand))
            except ValueError:
                operands.append(trace.events[next(inputs)].value)
        assert next(inputs, None) is None
        result = OPERATORS[type(node.op)](*operands)
        assert np.array_equal(result, event.value), place
        seen += 1
    assert seen > 5


@pytest.mark.parametrize("style", ZOO)
def test_inputs_are_earlier_events_and_what_is_bound_is_what_was_computed(style):
    trace = traced(ZOO[style])
    for index, event in enumerate(trace.events):
        assert all(0 <= i < index for i in event.inputs)
        place = trace.sites[event.site]
        if place.role in {"assigned", "returned"} and len(event.inputs) == 1:
            source = trace.events[event.inputs[0]].value
            loop = event.value.dtype.kind == "i"  # over a range
            assert same(source, event.value) or event.value.size < source.size or loop, place


@pytest.mark.parametrize("style", ZOO)
def test_the_flow_reaches_from_dx_back_to_every_array_that_was_passed_in(style):
    trace = traced(ZOO[style])
    dx = of(trace, "returned", "0")[-1]
    arguments = [i for i in ancestors(trace, dx) if trace.sites[trace.events[i].site].role == "argument"]
    values = [trace.events[i].value for i in arguments]

    for array, needed in zip(arrays(), (True, True, False, True), strict=True):  # x, gamma, beta, dout
        assert any(same(value, array) for value in values) == needed


def test_straight_line_code_shows_every_sub_expression_once_with_its_place_and_value():
    source = "import numpy as np\n" + ZOO["staged"]
    tree = ast.parse(source)
    backward = next(f for f in tree.body if getattr(f, "name", "") == "batchnorm_backward")
    local = {}

    def capture(frame, event, _):
        if event == "return" and frame.f_code.co_name == "batchnorm_backward":
            local.update(frame.f_locals)

    sys.setprofile(capture)
    try:
        plainly(ZOO["staged"])
    finally:
        sys.setprofile(None)
    trace = traced(ZOO["staged"])
    places = {trace.sites[event.site]: event.value for event in trace.events}
    wanted = [n for n in ast.walk(backward) if isinstance(n, ast.BinOp | ast.Call)]

    assert len(wanted) > 25
    for node in wanted:
        found = [
            v
            for s, v in places.items()
            if (s.line, s.column, s.end_column) == (node.lineno, node.col_offset, node.end_col_offset)
            and s.role == "expression"
        ]
        text = ast.get_source_segment(source, node)
        assert len(found) == 1, text
        assert same(found[0], np.asarray(eval(text, {"np": np}, local)))  # noqa: S307
    for name, value in local.items():
        if isinstance(value, np.ndarray) and name != "dout":
            assert same(trace.events[of(trace, "assigned", name)[-1]].value, value)


def test_sites_carry_the_text_role_and_name_of_their_place():
    trace = traced(
        """
        def f(x, cache):
            cache["dx"] = x[0] * 2
            cache["dx"] += 1
            n = y = (x +
                x)
            y[1:] = (n := 3)
            return y, cache["dx"]
        """,
        calls=[Call("f", (np.ones(3), {}))],
    )
    places = [(s.line, s.role, s.name, s.text) for s in (trace.sites[event.site] for event in trace.events)]

    assert places == [
        (3, "argument", "x", "x"),
        (4, "expression", "", "x[0]"),
        (4, "expression", "", "x[0] * 2"),
        (4, "assigned", 'cache["dx"]', 'cache["dx"]'),
        (5, "changed", 'cache["dx"]', 'cache["dx"]'),
        (6, "expression", "", "x +\n        x"),
        (6, "assigned", "n", "n"),
        (6, "assigned", "y", "y"),
        (8, "assigned", "n", "n"),
        (8, "assigned", "y[1:]", "y[1:]"),
        (8, "changed", "y", "y[1:]"),
        (9, "expression", "", 'cache["dx"]'),
        (9, "returned", "0", "y"),
        (9, "returned", "1", 'cache["dx"]'),
    ]


def test_calls_count_the_invocations_of_functions():
    trace = traced(
        "def g(a): return a + 1\ndef f(x): return g(g(x)) + (lambda b: b * 2)(x)\n",
        calls=[Call("f", (1.0,)), Call("f", (2.0,))],
    )
    places = [(trace.sites[event.site].function, event.call) for event in trace.events]

    assert {call for function, call in places if function == "f"} == {1, 5}
    assert {call for function, call in places if function == "g"} == {2, 3, 6, 7}
    assert {call for function, call in places if function.endswith("<lambda>")} == {4, 8}


def test_values_are_private_copies():
    trace = traced("def f(x):\n    y = x + 1\n    y *= 0\n    return y\n", calls=[Call("f", (np.ones(2),))])

    assert trace.events[of(trace, "assigned", "y")[0]].value.tolist() == [2, 2]


def test_what_is_no_number_makes_no_event():
    trace = traced(
        "def f(x):\n    a = True\n    b = 'text' + 's'\n    c = x > 0\n    d = [x]\n    return a, b, c, d, None\n",
        calls=[Call("f", (np.array([True]),))],
    )

    assert trace.events == ()


CHANGES = {
    "an augmented name": ("y += 1", {"y", "v"}),
    "an item": ("y[0] = 9", {"y", "v"}),
    "a slice of a view": ("v[:, 1:] -= 1", {"y", "v"}),
    "a row of a transposed view that has no name": ("y.T[0] = 5", {"y.T", "y", "v"}),
    "out=": ("np.add(y, 1, out=y)", {"y", "v"}),
    "a method": ("y.sort(axis=0)", {"y", "v"}),
    "a function of NumPy": ("np.copyto(v, 3)", {"y", "v"}),
    "at": ("np.add.at(y, 0, 1)", {"y", "v"}),
    "through flat": ("y.flat[2] = 8", {"y.flat", "v"}),
    "in a helper": ("helper(y)", {"a", "v"}),
    "a name that only looks the same": ("w += 1", {"w"}),
    "nothing": ("np.sum(y)", set()),
    "a row bound by a loop": ("for row in y: row *= 2", {"row", "y", "v"}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_named_array_whose_contents_change_is_seen_to_change(change):
    statement, expected = CHANGES[change]
    source = f"""
def helper(a):
    a[...] += 1
def f(x):
    y = x * 2
    v = y[:]
    w = y.copy()
    {statement}
    z = v - w
    return z
"""
    trace = traced(source, calls=[Call("f", (np.array([[3.0, 1.0], [2.0, 5.0]]),))])
    changed = [i for i, event in enumerate(trace.events) if trace.sites[event.site].role == "changed"]

    assert trace.error is None
    assert {trace.sites[trace.events[i].site].name for i in changed} == expected
    z = next(event for event in trace.events if trace.sites[event.site].text == "v - w")
    v, w = (trace.events[i].value for i in z.inputs)
    assert np.array_equal(v - w, z.value)
    assert bool(expected & {"v", "w"}) == bool(set(z.inputs) & set(changed))


def test_a_cache_that_packs_equal_numbers_is_unpacked_to_the_right_ones():
    """Small ints are one object in Python: only the places they were put in tell them apart."""
    trace = traced(
        """
        def forward(x):
            N, D = x.shape
            rows = x.shape[0]
            return x, (D, rows, {"n": N})
        def backward(cache):
            a, b, c = cache
            return a * 1, b * 1, c["n"] * 1
        """,
        calls=[Call("forward", (np.ones((3, 3)),)), Call("backward", (Result(0, (1,)),))],
    )
    results = of(trace, "returned", "0")[1:] + of(trace, "returned", "1") + of(trace, "returned", "2")
    names = [{trace.sites[trace.events[i].site].name for i in ancestors(trace, r)} for r in results]

    assert [found & {"D", "rows", "N"} for found in names] == [{"D"}, {"rows"}, {"N"}]


ORIGINS = {
    "an argument, though another name has the same number": (
        "def g(a): return a * 1\ndef f(x):\n    m = 4\n    n = 4\n    return g(m)",
        {"x": False, "m": True, "n": False, "a": True},
    ),
    "a shape": ("def f(x):\n    n, d = x.shape\n    return n / d", {"x": True, "n": True, "d": True}),
    "a range over a length": (
        "def f(x):\n    n = len(x)\n    for i in range(n): s = i * 2\n    return s",
        {"x": True, "n": True},
    ),
    "a mask": (
        "def f(x):\n    m = (x - 1).astype(bool)\n    y = np.ones(3)\n    return np.where(m, y, 0)",
        {"x": True, "y": True},
    ),
    "a name that a class body hides from its methods": (
        "def f(x):\n u = 5\n v = u\n class A:\n  v = 5\n  def m(self): return v * 1\n return A().m()",
        {"v": True, "u": True},
    ),
    "an instance": (
        "class C:\n    def __init__(s, a): s.a, s.b = a, 7\n    def m(s): k=7; return s.b * 1\nf = lambda x: C(x).m()",
        {"s.b": True, "s.a": False, "k": False},
    ),
    "a dictionary's get": (
        "def f(x):\n    d = {}\n    n = 2\n    k = 2\n    d['n'] = n\n    return d.get('n', x) * 1",
        {"n": True, "k": False, "x": False},
    ),
    "a list that grew": (
        "def f(x):\n    a = []\n    for r in x: a.append(r * 2)\n    y = 1.5\n    return np.array(a)",
        {"r": True, "x": True, "y": False},
    ),
}


@pytest.mark.parametrize("origin", ORIGINS)
def test_the_origin_of_a_result_is_known_through(origin):
    source, expected = ORIGINS[origin]
    trace = traced(source, calls=[Call("f", (np.ones((3, 2)) if "where" not in source else np.ones(3),))])
    assert trace.error is None
    found = ancestors(trace, of(trace, "returned", "0")[-1])
    names = {trace.sites[trace.events[i].site].name for i in found}

    assert {name: name in names for name in expected} == expected


def test_a_call_of_a_students_function_comes_from_what_it_returned():
    trace = traced("def g(a, b): return a + 1\ndef f(x, y): return g(x, y)\n", calls=[Call("f", (1.5, 2.5))])
    call = next(event for event in trace.events if trace.sites[event.site].text == "g(x, y)")

    assert [trace.sites[trace.events[i].site].role for i in call.inputs] == ["returned"]


def test_a_recursion_that_python_allows_is_allowed():
    source = "def f(n): return n if n == 0 else f(n - 1) + 1\n"

    assert traced(source, calls=[Call("f", (700,))]).results == (700,)


def test_a_sum_over_a_generator_has_its_elements_as_inputs():
    trace = traced("def f(x): return sum(r * 2 for r in x)\n", calls=[Call("f", (np.ones((3, 2)),))])
    total = next(event for event in trace.events if trace.sites[event.site].text.startswith("sum"))
    elements = [i for i, event in enumerate(trace.events) if trace.sites[event.site].text == "r * 2"]

    assert len(elements) == 3
    assert set(elements) <= set(total.inputs)


def test_the_closures_of_the_staged_implementation_are_traced():
    text = (ROOT / "implementations" / "numpy_staged.py").read_text()
    sites = ()

    def transform(tree):
        nonlocal sites
        new, sites = instrument(tree, text, ["forward"])
        return new

    loaded = load(text, "numpy_staged.py", transform=transform)
    assert loaded.problems == ()
    assert loaded.missing == ()
    x, gamma, beta, dout = arrays()
    namespace = loaded.namespace
    original = namespace["forward"]
    namespace["train"] = lambda *given: original(*given, training=True, eps=1e-5, momentum=0.1)
    trace = record(
        namespace,
        Recorder(sites),
        [Call("train", (x, gamma, beta, np.zeros(4), np.ones(4))), Call(Result(0, (2,)), (dout,))],
    )

    from bnbench.implementations.numpy_staged import forward

    y, _, vjp = forward(x, gamma, beta, np.zeros(4), np.ones(4), training=True, eps=1e-5, momentum=0.1)
    assert trace.error is None
    assert same(trace.results[0][0], y)
    assert all(same(a, b) for a, b in zip(trace.results[1], vjp(dout), strict=True))
    dvar = next(i for i, e in enumerate(trace.events) if trace.sites[e.site].text == "dsd / (2 * sd)")
    assert dvar in ancestors(trace, of(trace, "returned", "0")[-1])


# -- interventions ----------------------------------------------------------------------------------------------------

STRAIGHT = [line.split(" = ")[0].strip() for line in STAGED_BACKWARD.splitlines() if line.count(" = ") == 1]


@pytest.mark.parametrize("name", [name for name in STRAIGHT if "," not in name])
def test_a_replaced_value_has_the_effect_of_a_changed_line(name):
    trace = traced(ZOO["staged"])
    event = of(trace, "assigned", name)[-1]
    lines = []
    for line in ZOO["staged"].splitlines():
        lines.append(line)
        if line.startswith(f"    {name} = "):
            lines.append(f"    {name} = 2 * {name}")
    expected = plainly("\n".join(lines))

    replayed = traced(ZOO["staged"], replace={event: 2 * trace.events[event].value})

    assert any(not same(a, b) for a, b in zip(expected, plainly(ZOO["staged"]), strict=True))
    assert all(same(a, b) for a, b in zip(outputs(replayed), expected, strict=True))


@pytest.mark.parametrize("style", ZOO)
def test_a_value_replaced_by_itself_changes_nothing(style):
    trace = traced(ZOO[style])
    namespace, recorder = executed(ZOO[style], probed=True)
    for index in range(0, len(trace.events), max(1, len(trace.events) // 60)):
        again = record(namespace, recorder, script(), replace={index: trace.events[index].value})
        assert all(same(a, b) for a, b in zip(outputs(again), outputs(trace), strict=True)), index
        assert len(again.events) == len(trace.events)


@pytest.mark.parametrize("style", ZOO)
def test_events_before_the_replaced_one_are_those_of_the_run_without(style):
    trace = traced(ZOO[style])
    namespace, recorder = executed(ZOO[style], probed=True)
    for index in range(0, len(trace.events), max(1, len(trace.events) // 60)):
        again = record(namespace, recorder, script(), replace={index: trace.events[index].value * 2 + 1})
        assert len(again.events) >= min(index + 1, len(trace.events))
        for one, other in zip(trace.events[:index], again.events[:index], strict=True):
            assert same(one.value, other.value)
            assert one[:2] == other[:2]
            assert one.inputs == other.inputs


@pytest.mark.parametrize(
    ("statement", "name"),
    [("y += 1", "y"), ("y[0] = 1", "y"), ("v *= 3", "v"), ("np.add(y, 1, out=y)", "y"), ("d['k'] += 2", "d['k']")],
)
def test_a_change_that_is_replaced_is_seen_by_every_alias(statement, name):
    source = f"def f(x):\n    y = x * 2\n    v = y[::-1]\n    d = dict(k=y)\n    {statement}\n    return y, v, d['k']\n"
    calls = [Call("f", (np.arange(3.0),))]
    event = of(traced(source, calls=calls), "changed", name)[0]

    y, v, item = traced(source, calls=calls, replace={event: np.array([10.0, 20.0, 30.0])}).results[0]

    assert sorted(y) == sorted(v) == [10, 20, 30]
    assert y is item
    assert np.shares_memory(y, v)
    assert (y if name != "v" else v).tolist() == [10, 20, 30]


@pytest.mark.parametrize("change", ["y += 1", "y[...] = y + 1"])
def test_a_change_that_does_not_fit_into_the_array_binds_the_name_anew(change):
    source = f"def f(x):\n    y = x * 2\n    v = y\n    {change}\n    return y, v\n"
    calls = [Call("f", (np.zeros(3),))]
    event = of(traced(source, calls=calls), "changed", "y")[0]

    y, v = traced(source, calls=calls, replace={event: np.ones((2, 2))}).results[0]

    assert y.shape == (2, 2)
    assert v.tolist() == [1, 1, 1]


@pytest.mark.parametrize(("make", "item"), [("{'s': 0.0}", "c['s']"), ("C()", "c.s")])
def test_a_replaced_change_of_an_item_or_attribute_is_stored_there(make, item):
    source = f"class C: s = 0.0\ndef f(x):\n    c = {make}\n    {item} += x\n    return {item}\n"
    calls = [Call("f", (3.0,))]
    event = of(traced(source, calls=calls), "changed", item)[0]

    assert traced(source, calls=calls, replace={event: np.array(8.0)}).results == (8.0,)


@pytest.mark.parametrize(
    ("role", "name", "expected"),
    [("argument", "x", 14.0), ("assigned", "n", 9.0), ("changed", "s", 7.0), ("returned", "0", 7.0)],
)
def test_a_number_is_replaced_in_every_role_and_stays_a_number(role, name, expected):
    source = "def f(x):\n    n = 2\n    s = 0.0\n    for i in range(n): pass\n    s += x * n\n    return s + 0\n"
    calls = [Call("f", (3.0,))]
    event = of(traced(source, calls=calls), role, name)[0]

    result = traced(source, calls=calls, replace={event: np.array(7.0 if name != "n" else 3.0)}).results[0]

    assert type(result) is float
    assert result == expected


def test_the_arguments_of_the_caller_are_left_alone_and_the_copies_are_handed_back():
    x, state = np.zeros(2), {"running": np.zeros(2)}
    trace = traced(
        "def f(x, s):\n    x += 1\n    s['running'] = x\n", calls=[Call("f", (x, state)), Call("f", (x, state))]
    )

    assert x.tolist() == [0, 0]
    assert state["running"].tolist() == [0, 0]
    assert trace.arguments[1][1]["running"].tolist() == [2, 2]
    assert trace.arguments[0][0] is trace.arguments[1][0]


# -- limits and selection ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limits", [{"events": 20}, {"size": 2000}, {"events": 0}])
def test_beyond_a_limit_recording_stops_and_the_run_goes_on(limits):
    for source in ZOO.values():
        namespace, recorder = executed(source, probed=True)
        trace = record(namespace, Recorder(recorder.sites, **limits), script())

        assert trace.truncated
        assert len(trace.events) <= 20 or sum(e.value.nbytes for e in trace.events) <= 4000
        assert all(same(a, b) for a, b in zip(outputs(trace), plainly(source), strict=True))


def test_a_run_within_the_limits_is_not_truncated():
    assert not traced(ZOO["staged"]).truncated


def test_only_what_is_reachable_is_rewritten():
    source = """
import os
EPS = 1e-5
def a(x): return b(x) + EPS
def b(x): return C(x).value
class C:
    def __init__(self, x): self.value = alias(x)
alias = lambda x: x
def other(x): return a(x)
if EPS:
    def d(x): return x
a.helper = d
"""
    tree = ast.parse(source)

    assert reachable(tree, ["a", "missing"]) == {"a", "b", "C", "alias", "EPS", "d"}
    new, sites = instrument(tree, source, ["a"])
    assert "other" not in {place.function for place in sites}
    assert {"a", "b", "C.__init__", "<lambda>", "d"} == {place.function for place in sites}
    assert ast.dump(ast.parse(source)) == ast.dump(tree), "the tree that was given is left as it is"
    assert ast.dump(new) != ast.dump(tree)


def test_memory_that_is_never_filled_is_nan_in_every_run():
    source = "def f(n):\n    a = np.empty(n)\n    b = np.empty_like(a, dtype=int)\n    a[0] = 1\n    return a, b\n"
    calls = [Call("f", (1000,))]

    a, b = traced(source, calls=calls).results[0]

    assert np.isnan(a[1:]).all()
    assert a[0] == 1
    assert not b.any()


def test_functions_of_a_run_still_work_when_it_is_over():
    trace = traced("def f(x):\n    return lambda y: x + y\n", calls=[Call("f", (1.0,))])
    before = len(trace.events)

    assert trace.results[0](2.0) == 3.0
    assert len(trace.events) == before


# -- any expression ---------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(
    ["a", "b", "s", "2", "-1.5", "a.T", "b[0]", "b.sum(0)", "np.exp(s)", "(a, b)[0]", "(s if s else a)"]
)
EXPRESSIONS = st.recursive(
    NAMES,
    lambda inner: st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "**", "@"]), inner).map(
        "({0[0]} {0[1]} {0[2]})".format
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(EXPRESSIONS)
def test_any_expression_keeps_its_value_or_its_error(expression):
    a, b, s = np.arange(1.0, 10.0).reshape(3, 3) / 4, np.ones((3, 3)) - np.eye(3) / 3, 0.5
    source = f"def f(a, b, s):\n    with np.errstate(all='ignore'):\n        return {expression}\n"
    trace = traced(source, calls=[Call("f", (a, b, s))])
    error = None
    try:
        expected = executed(source, probed=False)[0]["f"](a, b, s)
    except Exception as caught:  # noqa: BLE001 - of whatever kind, the probed function must raise the same
        error = caught
    if error is not None:
        assert (trace.error.type, trace.error.message) == (type(error).__name__, str(error))
        return
    assert trace.error is None
    assert same(np.asarray(trace.results[0]), np.asarray(expected))
    assert type(trace.results[0]) is type(expected)
