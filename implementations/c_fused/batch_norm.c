/* forward: batch norm as a Python function. */
#include "binding.h"

PyObject *forward(PyObject *module, PyObject *const *args, Py_ssize_t positional, PyObject *names)
{
    static const char *const PER_CHANNEL[] = {"gamma", "beta", "running_mean", "running_var"};
    static const char *const OUTPUTS[] = {"y in out", "running_mean in out", "running_var in out"};
    enum { TRAINING, EPS, MOMENTUM, OUT, THREADS };
    static const signature SIGNATURE = {"forward",
                                        "x, gamma, beta, running_mean, running_var",
                                        5,
                                        5,
                                        3,
                                        {"training", "eps", "momentum", "out", "threads"}};
    const module_state *state = PyModule_GetState(module);
    PyObject *keyword[5] = {NULL};
    Py_buffer in[4] = {{0}}, out[3] = {{0}};
    PyObject *array[3] = {NULL}, *pullback = NULL, *statistics = NULL, *result = NULL;
    double eps, momentum;

    if (parse(&SIGNATURE, args, positional, names, keyword) < 0)
        return NULL;

    const int training = keyword[TRAINING] == Py_True;
    bn_context *context = context_new(module, args[0]);
    if (context == NULL)
        return NULL;
    context->training = training;
    const Py_buffer *x = &context->x;
    const bn_shape shape = context->shape;
    if (!training && keyword[TRAINING] != Py_False) {
        PyErr_Format(PyExc_TypeError, "training is %R, expected True or False", keyword[TRAINING]);
        goto done;
    }
    for (int i = 0; i < 4; i++)
        if (borrow_per_channel(state, PER_CHANNEL[i], args[1 + i], x, &in[i]) < 0) {
            in[i].obj = NULL;
            goto done;
        }
    if (parse_eps(state, keyword[EPS], &eps) < 0 ||
        parse_number(state, "momentum", keyword[MOMENTUM], &momentum) < 0 ||
        parse_threads(keyword[THREADS], &context->threads) < 0)
        goto done;
    if (training && shape.batch * shape.spatial == 1) {
        refuse_shape("x", args[0], "more than 1 value per channel when training");
        goto done;
    }
    const Py_buffer *const like[] = {x, &in[2], &in[3]}, *const inputs[] = {x, &in[0], &in[1], &in[2], &in[3], NULL};
    if (context_reserve(context, shape.channels) < 0 ||
        outputs(state, keyword[OUT], OUTPUTS, like, inputs, array, out) < 0)
        goto done;
    const bn_forward call = {
        .shape = shape,
        .training = training,
        .eps = eps,
        .momentum = momentum,
        .x = x->buf,
        .gamma = in[0].buf,
        .beta = in[1].buf,
        .running_mean = in[2].buf,
        .running_var = in[3].buf,
        .y = out[0].buf,
        .new_mean = out[1].buf,
        .new_var = out[2].buf,
        .saved = context->saved,
        .threads = context->threads,
    };
    PyThreadState *thread = x->len >= WITHOUT_GIL ? PyEval_SaveThread() : NULL;
    const int status = type_of(x) == 'f' ? bn_forward_f32(&call) : bn_forward_f64(&call);
    if (thread != NULL)
        PyEval_RestoreThread(thread);
    if (status < 0) {
        PyErr_NoMemory();
        goto done;
    }

    pullback = vjp_new(context);
    context = NULL;
    if (pullback != NULL && (statistics = PyTuple_Pack(2, array[1], array[2])) != NULL)
        result = PyTuple_Pack(3, array[0], statistics, pullback);
done:
    for (int i = 0; i < 4; i++)
        PyBuffer_Release(&in[i]);
    for (int i = 0; i < 3; i++) {
        PyBuffer_Release(&out[i]);
        Py_XDECREF(array[i]);
    }
    Py_XDECREF(statistics);
    Py_XDECREF(pullback);
    if (context != NULL)
        context_free(context);
    return result;
}
