/* The backward map of one forward call: a function of dy that keeps what it needs. */
#include "binding.h"

#include <string.h>

static const char CONTEXT[] = "bnbench.implementations.c_fused.context";

void context_free(bn_context *context)
{
    if (context->x.obj != NULL)
        PyBuffer_Release(&context->x);
    PyMem_Free(context->saved.shift);
    Py_XDECREF(context->module);
    PyMem_Free(context);
}

static void context_drop(PyObject *capsule) { context_free(PyCapsule_GetPointer(capsule, CONTEXT)); }

/* Fill dx, dgamma and dbeta. */
static int backward(const bn_context *context, const void *dy, const Py_buffer out[3])
{
    const int is_float = type_of(&context->x) == 'f';
    if (context->groups == 0) {
        const bn_backward call = {
            .shape = context->shape,
            .training = context->training,
            .x = context->x.buf,
            .dy = dy,
            .saved = context->saved,
            .dx = out[0].buf,
            .dgamma = out[1].buf,
            .dbeta = out[2].buf,
            .threads = context->threads,
        };
        return is_float ? bn_backward_f32(&call) : bn_backward_f64(&call);
    }
    const gn_backward call = {
        .shape = context->shape,
        .groups = context->groups,
        .centred = context->centred,
        .x = context->x.buf,
        .dy = dy,
        .saved = context->saved,
        .dx = out[0].buf,
        .dgamma = out[1].buf,
        .dbeta = out[2].buf,
    };
    return is_float ? gn_backward_f32(&call) : gn_backward_f64(&call);
}

static PyObject *vjp(PyObject *capsule, PyObject *const *args, Py_ssize_t positional, PyObject *names)
{
    static const signature SIGNATURE = {"vjp", "dy", 1, 1, 0, {"out"}};
    static const char *const NAMES[] = {"dx in out", "dgamma in out", "dbeta in out"};
    bn_context *context = PyCapsule_GetPointer(capsule, CONTEXT);
    PyObject *given = NULL;
    if (context == NULL || parse(&SIGNATURE, args, positional, names, &given) < 0)
        return NULL;
    const module_state *state = PyModule_GetState(context->module);
    const Py_buffer *x = &context->x;
    Py_buffer dy = {0}, out[3] = {{0}};
    PyObject *array[3] = {NULL}, *result = NULL;

    if (borrow(state, "dy", args[0], type_of(x), &dy) < 0)
        return NULL;
    if (dy.ndim != x->ndim || memcmp(dy.shape, x->shape, sizeof(Py_ssize_t) * (size_t)x->ndim) != 0) {
        refuse_shape("dy", args[0], "the shape of x");
        goto done;
    }
    Py_ssize_t channels = x->shape[1];
    const Py_buffer per_channel = {.ndim = 1, .shape = &channels, .format = x->format};
    const Py_buffer *const like[] = {x, &per_channel, &per_channel}, *const inputs[] = {x, &dy, NULL};
    if (outputs(state, given, NAMES, like, inputs, array, out) < 0)
        goto done;

    PyThreadState *thread = x->len >= WITHOUT_GIL ? PyEval_SaveThread() : NULL;
    const int status = backward(context, dy.buf, out);
    if (thread != NULL)
        PyEval_RestoreThread(thread);
    if (status < 0)
        PyErr_NoMemory();
    else
        result = PyTuple_Pack(3, array[0], array[1], array[2]);
done:
    PyBuffer_Release(&dy);
    for (int i = 0; i < 3; i++) {
        PyBuffer_Release(&out[i]);
        Py_XDECREF(array[i]);
    }
    return result;
}

static PyMethodDef vjp_method = {
    "vjp", (PyCFunction)(void (*)(void))vjp, METH_FASTCALL | METH_KEYWORDS,
    "vjp($self, dy, /, *, out=None)\n--\n\n"
    "Pull dy, shaped as x, back to (dx, dgamma, dbeta). May be called any number of times.\n\n"
    "out is a tuple of three arrays to write those to, which are then returned.\n"
    "Raises TypeError for another dtype than x has and ValueError for\n"
    "another shape, and for an out that shares memory with dy or x."};

bn_context *context_new(PyObject *module, PyObject *x)
{
    bn_context *context = PyMem_Calloc(1, sizeof(bn_context));
    if (context == NULL)
        return (bn_context *)PyErr_NoMemory();
    context->module = Py_NewRef(module);
    if (borrow(PyModule_GetState(module), "x", x, 0, &context->x) < 0) {
        context->x.obj = NULL;
        goto failed;
    }
    const Py_buffer *view = &context->x;
    if (view->ndim < 2 || view->ndim > 5) {
        refuse_shape("x", x, "(N, C) or (N, C, *spatial) with 2 to 5 dimensions");
        goto failed;
    }
    bn_shape *shape = &context->shape;
    *shape = (bn_shape){(size_t)view->shape[0], (size_t)view->shape[1], 1};
    for (int i = 2; i < view->ndim; i++)
        shape->spatial *= (size_t)view->shape[i];
    return context;
failed:
    context_free(context);
    return NULL;
}

int context_reserve(bn_context *context, size_t blocks)
{
    double *saved = PyMem_Malloc((3 * blocks + context->shape.channels) * sizeof(double));
    if (saved == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    context->saved = (bn_saved){saved, saved + blocks, saved + 2 * blocks, saved + 3 * blocks};
    return 0;
}

PyObject *vjp_new(bn_context *context)
{
    PyObject *capsule = PyCapsule_New(context, CONTEXT, context_drop);
    if (capsule == NULL) {
        context_free(context);
        return NULL;
    }
    PyObject *pullback = PyCFunction_New(&vjp_method, capsule);
    Py_DECREF(capsule);
    return pullback;
}
