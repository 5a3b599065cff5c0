/* The backward map of one forward call: a function of dy that keeps what it needs. */
#include "binding.h"

#include <string.h>

static const char CONTEXT[] = "bnbench.implementations.c_fused.context";

void context_free(bn_context *context)
{
    release(&context->x);
    PyMem_Free(context);
}

static void context_drop(PyObject *capsule) { context_free(PyCapsule_GetPointer(capsule, CONTEXT)); }

/* Fill dx, dgamma and dbeta. */
static int backward(const bn_context *context, const void *dy, const bn_array out[3])
{
    const int is_float = context->x.type == 'f';
    if (context->groups == 0) {
        const bn_backward call = {
            .shape = context->shape,
            .training = context->training,
            .x = context->x.data,
            .dy = dy,
            .saved = context->saved,
            .dx = out[0].data,
            .dgamma = out[1].data,
            .dbeta = out[2].data,
            .threads = context->threads,
        };
        return is_float ? bn_backward_f32(&call) : bn_backward_f64(&call);
    }
    const gn_backward call = {
        .shape = context->shape,
        .groups = context->groups,
        .centred = context->centred,
        .x = context->x.data,
        .dy = dy,
        .saved = context->saved,
        .dx = out[0].data,
        .dgamma = out[1].data,
        .dbeta = out[2].data,
        .threads = context->threads,
    };
    return is_float ? gn_backward_f32(&call) : gn_backward_f64(&call);
}

static PyObject *vjp(PyObject *capsule, PyObject *const *args, Py_ssize_t positional, PyObject *names)
{
    static signature SIGNATURE = {"vjp", "dy", 1, 1, 0, {"out"}, {NULL}};
    static const char *const NAMES[] = {"dx in out", "dgamma in out", "dbeta in out"};
    const bn_context *context = PyCapsule_GetPointer(capsule, CONTEXT);
    PyObject *given = NULL;
    if (context == NULL || parse(&SIGNATURE, args, positional, names, &given) < 0)
        return NULL;
    const bn_array *x = &context->x;
    bn_array dy = {0}, out[3] = {{0}};
    PyObject *result = NULL;

    if (borrow("dy", args[0], x->type, &dy) < 0)
        return NULL;
    if (dy.ndim != x->ndim || memcmp(dy.shape, x->shape, sizeof *x->shape * (size_t)x->ndim) != 0) {
        refuse_shape("dy", args[0], "the shape of x");
        goto done;
    }
    const bn_array per_channel = {.ndim = 1, .shape = &x->shape[1], .type = x->type};
    const bn_array *const like[] = {x, &per_channel, &per_channel}, *const inputs[] = {x, &dy, NULL};
    const bn_outputs wanted = {3, "a tuple of three arrays", NAMES, like};
    if (outputs(&wanted, given, inputs, out) < 0)
        goto done;

    PyThreadState *thread = x->bytes >= WITHOUT_GIL ? PyEval_SaveThread() : NULL;
    const int status = backward(context, dy.data, out);
    if (thread != NULL)
        PyEval_RestoreThread(thread);
    if (status < 0)
        PyErr_NoMemory();
    else
        result = PyTuple_Pack(3, out[0].object, out[1].object, out[2].object);
done:
    release(&dy);
    for (int i = 0; i < 3; i++)
        release(&out[i]);
    return result;
}

static PyMethodDef vjp_method = {
    "vjp", (PyCFunction)(void (*)(void))vjp, METH_FASTCALL | METH_KEYWORDS,
    "vjp($self, dy, /, *, out=None)\n--\n\n"
    "Pull dy, shaped as x, back to (dx, dgamma, dbeta). May be called any number of times.\n\n"
    "out is a tuple of three arrays to write those to, which are then returned.\n"
    "Raises TypeError for another dtype than x has and ValueError for\n"
    "another shape, and for an out that shares memory with dy or x."};

int borrow_x(PyObject *object, bn_array *x, bn_shape *shape)
{
    if (borrow("x", object, 0, x) < 0)
        return -1;
    if (x->ndim < 2 || x->ndim > DIMENSIONS) {
        release(x);
        return refuse_shape("x", object, "(N, C) or (N, C, *spatial) with 2 to 5 dimensions");
    }
    *shape = (bn_shape){(size_t)x->shape[0], (size_t)x->shape[1], 1};
    for (int i = 2; i < x->ndim; i++)
        shape->spatial *= (size_t)x->shape[i];
    return 0;
}

bn_context *context_new(const bn_array *x, bn_shape shape, size_t blocks)
{
    bn_context *context = PyMem_Malloc(sizeof(bn_context) + (3 * blocks + shape.channels) * sizeof(double));
    if (context == NULL)
        return (bn_context *)PyErr_NoMemory();
    double *saved = (double *)(context + 1);
    *context = (bn_context){
        .x = *x,
        .shape = shape,
        .saved = {saved, saved + blocks, saved + 2 * blocks, saved + 3 * blocks},
    };
    memcpy(context->dims, x->shape, sizeof *x->shape * (size_t)x->ndim);
    context->x.shape = context->dims;
    Py_INCREF(x->object);
    return context;
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
