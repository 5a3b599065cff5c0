/* forward: batch norm as a Python function. */
#include "binding.h"

PyObject *forward(PyObject *module, PyObject *const *args, Py_ssize_t positional, PyObject *names)
{
    static const char *const PER_CHANNEL[] = {"gamma", "beta", "running_mean", "running_var"};
    static const char *const OUTPUTS[] = {"y in out", "running_mean in out", "running_var in out"};
    enum { TRAINING, EPS, MOMENTUM, OUT, THREADS };
    static signature SIGNATURE = {"forward",
                                  "x, gamma, beta, running_mean, running_var",
                                  5,
                                  5,
                                  3,
                                  {"training", "eps", "momentum", "out", "threads"},
                                  {NULL}};
    PyObject *keyword[5] = {NULL};
    bn_array x, in[4] = {{0}}, out[3] = {{0}};
    bn_shape shape;
    bn_context *context = NULL;
    PyObject *pullback = NULL, *statistics = NULL, *result = NULL;
    double eps, momentum;
    size_t threads;
    (void)module;

    /* Numbers first: what they run must not come between a look at an array and its use. */
    if (parse(&SIGNATURE, args, positional, names, keyword) < 0 || parse_eps(keyword[EPS], &eps) < 0 ||
        parse_number("momentum", keyword[MOMENTUM], &momentum) < 0 || parse_threads(keyword[THREADS], &threads) < 0)
        return NULL;
    const int training = keyword[TRAINING] == Py_True;
    if (!training && keyword[TRAINING] != Py_False)
        return PyErr_Format(PyExc_TypeError, "training is %R, expected True or False", keyword[TRAINING]);
    if (borrow_x(args[0], &x, &shape) < 0)
        return NULL;
    for (int i = 0; i < 4; i++)
        if (borrow_per_channel(PER_CHANNEL[i], args[1 + i], &x, &in[i]) < 0)
            goto done;
    if (training && shape.batch * shape.spatial == 1) {
        refuse_shape("x", args[0], "more than 1 value per channel when training");
        goto done;
    }
    const bn_array *const like[] = {&x, &in[2], &in[3]}, *const inputs[] = {&x, &in[0], &in[1], &in[2], &in[3], NULL};
    const bn_outputs wanted = {3, "a tuple of three arrays", OUTPUTS, like};
    if (outputs(&wanted, keyword[OUT], inputs, out) < 0 || (context = context_new(&x, shape, shape.channels)) == NULL)
        goto done;
    context->training = training;
    context->threads = threads;
    const bn_forward call = {
        .shape = shape,
        .training = training,
        .eps = eps,
        .momentum = momentum,
        .x = x.data,
        .gamma = in[0].data,
        .beta = in[1].data,
        .running_mean = in[2].data,
        .running_var = in[3].data,
        .y = out[0].data,
        .new_mean = out[1].data,
        .new_var = out[2].data,
        .saved = context->saved,
        .threads = threads,
    };
    PyThreadState *thread = x.bytes >= WITHOUT_GIL ? PyEval_SaveThread() : NULL;
    const int status = x.type == 'f' ? bn_forward_f32(&call) : bn_forward_f64(&call);
    if (thread != NULL)
        PyEval_RestoreThread(thread);
    if (status < 0) {
        PyErr_NoMemory();
        goto done;
    }

    pullback = vjp_new(context);
    context = NULL;
    if (pullback != NULL && (statistics = PyTuple_Pack(2, out[1].object, out[2].object)) != NULL)
        result = PyTuple_Pack(3, out[0].object, statistics, pullback);
done:
    for (int i = 0; i < 4; i++)
        release(&in[i]);
    for (int i = 0; i < 3; i++)
        release(&out[i]);
    release(&x);
    Py_XDECREF(statistics);
    Py_XDECREF(pullback);
    if (context != NULL)
        context_free(context);
    return result;
}
