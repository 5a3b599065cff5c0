/* group_norm and rms_norm: the norms within a row as Python functions. */
#include "binding.h"

/* The groups in a row of x, or -1 with an exception set. */
static int parse_groups(PyObject *object, size_t channels, size_t *groups)
{
    if (!PyLong_Check(object) || PyBool_Check(object)) {
        PyErr_Format(PyExc_TypeError, "groups is %R, expected a whole number", object);
        return -1;
    }
    *groups = PyLong_AsSize_t(object); /* (size_t)-1 for what does not fit, negative numbers too */
    PyErr_Clear();
    if (*groups >= 1 && *groups <= channels && channels % *groups == 0)
        return 0;
    PyErr_Format(PyExc_ValueError, "groups is %R, expected a positive divisor of the %zu channels of x", object,
                 channels);
    return -1;
}

static PyObject *grouped_forward(signature *of, int centred, PyObject *const *args, Py_ssize_t positional,
                                 PyObject *names)
{
    enum { GROUPS, EPS, OUT, THREADS };
    static const char *const OUTPUTS[] = {"y in out"};
    PyObject *keyword[4] = {NULL}, *pullback = NULL, *result = NULL;
    bn_array x, gamma = {0}, beta = {0}, y = {0};
    bn_context *context = NULL;
    gn_forward call = {.centred = centred};

    /* Numbers first: what they run must not come between a look at an array and its use. */
    if (parse(of, args, positional, names, keyword) < 0 || parse_eps(keyword[EPS], &call.eps) < 0 ||
        parse_threads(keyword[THREADS], &call.threads) < 0 || borrow_x(args[0], &x, &call.shape) < 0)
        return NULL;
    if (parse_groups(keyword[GROUPS], call.shape.channels, &call.groups) < 0 ||
        borrow_per_channel("gamma", args[1], &x, &gamma) < 0 || borrow_per_channel("beta", args[2], &x, &beta) < 0)
        goto done;
    const bn_array *const like[] = {&x}, *const inputs[] = {&x, &gamma, &beta, NULL};
    const bn_outputs wanted = {1, "a tuple of one array", OUTPUTS, like};
    if (outputs(&wanted, keyword[OUT], inputs, &y) < 0 ||
        (context = context_new(&x, call.shape, call.shape.batch * call.groups)) == NULL)
        goto done;
    context->centred = centred;
    context->groups = call.groups;
    context->threads = call.threads;
    call.x = x.data;
    call.y = y.data;
    call.gamma = gamma.data;
    call.beta = beta.data;
    call.saved = context->saved;
    PyThreadState *thread = x.bytes >= WITHOUT_GIL ? PyEval_SaveThread() : NULL;
    const int status = x.type == 'f' ? gn_forward_f32(&call) : gn_forward_f64(&call);
    if (thread != NULL)
        PyEval_RestoreThread(thread);
    if (status < 0) {
        PyErr_NoMemory();
        goto done;
    }
    pullback = vjp_new(context);
    context = NULL;
    if (pullback != NULL)
        result = PyTuple_Pack(2, y.object, pullback);
done:
    release(&gamma);
    release(&beta);
    release(&y);
    release(&x);
    Py_XDECREF(pullback);
    if (context != NULL)
        context_free(context);
    return result;
}

#define GROUPED_KEYWORDS 4, 2, {"groups", "eps", "out", "threads"}, {NULL}

PyObject *group_norm(PyObject *module, PyObject *const *args, Py_ssize_t positional, PyObject *names)
{
    static signature SIGNATURE = {"group_norm", "x, gamma, beta", 3, GROUPED_KEYWORDS};
    (void)module;
    return grouped_forward(&SIGNATURE, 1, args, positional, names);
}

PyObject *rms_norm(PyObject *module, PyObject *const *args, Py_ssize_t positional, PyObject *names)
{
    static signature SIGNATURE = {"rms_norm", "x, gamma, beta", 3, GROUPED_KEYWORDS};
    (void)module;
    return grouped_forward(&SIGNATURE, 0, args, positional, names);
}
