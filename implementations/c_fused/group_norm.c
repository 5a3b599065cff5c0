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

static PyObject *grouped_forward(const signature *of, int centred, PyObject *module, PyObject *const *args,
                                 Py_ssize_t positional, PyObject *names)
{
    enum { GROUPS, EPS };
    const module_state *state = PyModule_GetState(module);
    PyObject *keyword[2] = {NULL}, *y = NULL, *pullback = NULL, *result = NULL;
    Py_buffer gamma = {0}, beta = {0}, y_view = {0};

    if (parse(of, args, positional, names, keyword) < 0)
        return NULL;
    bn_context *context = context_new(module, args[0]);
    if (context == NULL)
        return NULL;
    const Py_buffer *x = &context->x;
    context->centred = centred;
    gn_forward call = {.shape = context->shape, .centred = centred, .x = x->buf};
    if (parse_groups(keyword[GROUPS], call.shape.channels, &call.groups) < 0 ||
        parse_eps(state, keyword[EPS], &call.eps) < 0)
        goto done;
    context->groups = call.groups;
    if (borrow_per_channel(state, "gamma", args[1], x, &gamma) < 0) {
        gamma.obj = NULL;
        goto done;
    }
    if (borrow_per_channel(state, "beta", args[2], x, &beta) < 0) {
        beta.obj = NULL;
        goto done;
    }
    if (context_reserve(context, call.shape.batch * call.groups) < 0 ||
        (y = new_array(state, x, &y_view)) == NULL)
        goto done;
    call.y = y_view.buf;
    call.gamma = gamma.buf;
    call.beta = beta.buf;
    call.saved = context->saved;
    PyThreadState *thread = x->len >= WITHOUT_GIL ? PyEval_SaveThread() : NULL;
    const int status = type_of(x) == 'f' ? gn_forward_f32(&call) : gn_forward_f64(&call);
    if (thread != NULL)
        PyEval_RestoreThread(thread);
    if (status < 0) {
        PyErr_NoMemory();
        goto done;
    }
    pullback = vjp_new(context);
    context = NULL;
    if (pullback != NULL)
        result = PyTuple_Pack(2, y, pullback);
done:
    PyBuffer_Release(&gamma);
    PyBuffer_Release(&beta);
    PyBuffer_Release(&y_view);
    Py_XDECREF(y);
    Py_XDECREF(pullback);
    if (context != NULL)
        context_free(context);
    return result;
}

PyObject *group_norm(PyObject *module, PyObject *const *args, Py_ssize_t positional, PyObject *names)
{
    static const signature SIGNATURE = {"group_norm", "x, gamma, beta", 3, 2, 2, {"groups", "eps"}};
    return grouped_forward(&SIGNATURE, 1, module, args, positional, names);
}

PyObject *rms_norm(PyObject *module, PyObject *const *args, Py_ssize_t positional, PyObject *names)
{
    static const signature SIGNATURE = {"rms_norm", "x, gamma, beta", 3, 2, 2, {"groups", "eps"}};
    return grouped_forward(&SIGNATURE, 0, module, args, positional, names);
}
