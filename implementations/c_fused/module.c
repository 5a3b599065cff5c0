/* bnbench.implementations.c_fused._c_fused: the kernels as Python functions.
 *
 * Written against CPython's stable ABI (3.11) and the buffer protocol, so that one binary serves
 * every later Python and NumPy and a call costs about a microsecond.
 */
#include <Python.h>

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels.h"

typedef struct {
    PyObject *ndarray, *empty, *float32, *float64; /* NumPy's */
} module_state;

/* What a vjp keeps of its forward call: x by reference, the channels by value. */
typedef struct {
    PyObject *module;
    Py_buffer x;
    bn_shape shape;
    size_t groups; /* 0: batch norm */
    int training;  /* of batch norm */
    int centred;   /* of the others */
    bn_saved saved; /* four arrays in one allocation, at saved.shift */
} bn_context;

static const char CONTEXT[] = "bnbench.implementations.c_fused.context";

enum { WITHOUT_GIL = 1 << 17 }; /* bytes of x from which on other threads may run meanwhile */

/* ---- arrays in ---- */

/* "a list" or "an array of int64": a new reference, or NULL with an exception set. */
static PyObject *describe(const module_state *state, PyObject *object)
{
    if (PyObject_TypeCheck(object, (PyTypeObject *)state->ndarray)) {
        PyObject *dtype = PyObject_GetAttrString(object, "dtype");
        PyObject *text = dtype == NULL ? NULL : PyUnicode_FromFormat("an array of %S", dtype);
        Py_XDECREF(dtype);
        return text;
    }
    PyObject *name = PyType_GetName(Py_TYPE(object));
    PyObject *text = name == NULL ? NULL : PyUnicode_FromFormat("a %S", name);
    Py_XDECREF(name);
    return text;
}

static int refuse_type(const module_state *state, const char *name, PyObject *object, const char *expected)
{
    PyErr_Clear();
    PyObject *text = describe(state, object);
    if (text != NULL)
        PyErr_Format(PyExc_TypeError, "%s is %U, expected %s", name, text, expected);
    Py_XDECREF(text);
    return -1;
}

static int refuse_shape(const char *name, PyObject *array, const char *expected)
{
    PyObject *shape = PyObject_GetAttrString(array, "shape");
    if (shape != NULL)
        PyErr_Format(PyExc_ValueError, "%s has shape %R, expected %s", name, shape, expected);
    Py_XDECREF(shape);
    return -1;
}

/* 'f' or 'd' for native float32 or float64, else 0. NumPy marks unaligned arrays with "=". */
static char type_of(const Py_buffer *view)
{
    const char *format = view->format + (view->format[0] == '=');
    return (format[0] == 'f' || format[0] == 'd') && format[1] == '\0' ? format[0] : 0;
}

/* Borrow the memory of a NumPy array of type 'f' or 'd' (0: either), or the memory of a copy if it
 * is not contiguous or not aligned. On failure nothing is held and an exception is set. */
static int borrow(const module_state *state, const char *name, PyObject *object, char type, Py_buffer *view)
{
    const char *expected = type == 'f'   ? "a NumPy array of float32 as x is"
                           : type == 'd' ? "a NumPy array of float64 as x is"
                                         : "a NumPy array of float32 or float64";
    if (!PyObject_TypeCheck(object, (PyTypeObject *)state->ndarray))
        return refuse_type(state, name, object, expected);
    if (PyObject_GetBuffer(object, view, PyBUF_RECORDS_RO) < 0)
        return refuse_type(state, name, object, expected); /* a type that has no buffer, such as datetime64 */
    const char found = type_of(view);
    if (found == 0 || (type != 0 && found != type)) {
        PyBuffer_Release(view);
        return refuse_type(state, name, object, expected);
    }
    if (PyBuffer_IsContiguous(view, 'C') && (uintptr_t)view->buf % (size_t)view->itemsize == 0)
        return 0;
    PyBuffer_Release(view);
    PyObject *copy = PyObject_CallMethod(object, "copy", NULL);
    if (copy == NULL)
        return -1;
    const int status = PyObject_GetBuffer(copy, view, PyBUF_RECORDS_RO);
    Py_DECREF(copy); /* the view keeps it */
    return status;
}

static int borrow_per_channel(const module_state *state, const char *name, PyObject *object, const Py_buffer *x,
                              Py_buffer *view)
{
    if (borrow(state, name, object, type_of(x), view) < 0)
        return -1;
    if (view->ndim == 1 && view->shape[0] == x->shape[1])
        return 0;
    PyBuffer_Release(view);
    char expected[80];
    PyOS_snprintf(expected, sizeof expected, "(%zd,): one value for each channel of x", x->shape[1]);
    return refuse_shape(name, object, expected);
}

static int number(const module_state *state, const char *name, PyObject *object, double *value)
{
    *value = PyFloat_AsDouble(object);
    return *value == -1 && PyErr_Occurred() ? refuse_type(state, name, object, "a number") : 0;
}

/* ---- arrays out ---- */

/* A new array of the shape and type of `like`. Its memory goes to `*start` and is kept by `view`. */
static PyObject *new_array(const module_state *state, const Py_buffer *like, Py_buffer *view, void **start)
{
    PyObject *shape = PyTuple_New(like->ndim);
    for (int i = 0; shape != NULL && i < like->ndim; i++) {
        PyObject *size = PyLong_FromSsize_t(like->shape[i]);
        if (size == NULL || PyTuple_SetItem(shape, i, size) < 0)
            Py_CLEAR(shape);
    }
    if (shape == NULL)
        return NULL;
    PyObject *dtype = type_of(like) == 'f' ? state->float32 : state->float64;
    PyObject *array = PyObject_CallFunctionObjArgs(state->empty, shape, dtype, NULL);
    Py_DECREF(shape);
    if (array != NULL && PyObject_GetBuffer(array, view, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE) < 0)
        Py_CLEAR(array);
    *start = view->buf;
    return array;
}

/* ---- forward and vjp ---- */

static void context_free(bn_context *context)
{
    if (context->x.obj != NULL)
        PyBuffer_Release(&context->x);
    PyMem_Free(context->saved.shift);
    Py_XDECREF(context->module);
    PyMem_Free(context);
}

static void context_drop(PyObject *capsule) { context_free(PyCapsule_GetPointer(capsule, CONTEXT)); }

/* Fill dx, dgamma and dbeta. */
static int backward(const bn_context *context, const void *dy, void *const out[3])
{
    const int is_float = type_of(&context->x) == 'f';
    if (context->groups == 0) {
        const bn_backward call = {
            .shape = context->shape,
            .training = context->training,
            .x = context->x.buf,
            .dy = dy,
            .saved = context->saved,
            .dx = out[0],
            .dgamma = out[1],
            .dbeta = out[2],
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
        .dx = out[0],
        .dgamma = out[1],
        .dbeta = out[2],
    };
    return is_float ? gn_backward_f32(&call) : gn_backward_f64(&call);
}

static PyObject *vjp(PyObject *capsule, PyObject *dy)
{
    bn_context *context = PyCapsule_GetPointer(capsule, CONTEXT);
    if (context == NULL)
        return NULL;
    const module_state *state = PyModule_GetState(context->module);
    const Py_buffer *x = &context->x;
    Py_buffer dy_view = {0}, dx_view = {0}, dgamma_view = {0}, dbeta_view = {0};
    PyObject *dx = NULL, *dgamma = NULL, *dbeta = NULL, *result = NULL;
    void *out[3];

    if (borrow(state, "dy", dy, type_of(x), &dy_view) < 0)
        return NULL;
    if (dy_view.ndim != x->ndim || memcmp(dy_view.shape, x->shape, sizeof(Py_ssize_t) * (size_t)x->ndim) != 0) {
        refuse_shape("dy", dy, "the shape of x");
        goto done;
    }
    Py_ssize_t channels = x->shape[1];
    Py_buffer per_channel = {.ndim = 1, .shape = &channels, .format = x->format};
    if ((dx = new_array(state, x, &dx_view, &out[0])) == NULL ||
        (dgamma = new_array(state, &per_channel, &dgamma_view, &out[1])) == NULL ||
        (dbeta = new_array(state, &per_channel, &dbeta_view, &out[2])) == NULL)
        goto done;

    PyThreadState *thread = x->len >= WITHOUT_GIL ? PyEval_SaveThread() : NULL;
    const int status = backward(context, dy_view.buf, out);
    if (thread != NULL)
        PyEval_RestoreThread(thread);
    if (status < 0)
        PyErr_NoMemory();
    else
        result = PyTuple_Pack(3, dx, dgamma, dbeta);
done:
    PyBuffer_Release(&dy_view);
    PyBuffer_Release(&dx_view);
    PyBuffer_Release(&dgamma_view);
    PyBuffer_Release(&dbeta_view);
    Py_XDECREF(dx);
    Py_XDECREF(dgamma);
    Py_XDECREF(dbeta);
    return result;
}

static PyMethodDef vjp_method = {
    "vjp", vjp, METH_O,
    "vjp($self, dy, /)\n--\n\n"
    "Pull dy, shaped as x, back to (dx, dgamma, dbeta). May be called any number of times.\n\n"
    "Raises TypeError for another dtype than x has and ValueError for another shape."};

/* The call's context with x borrowed and nothing saved, or NULL with an exception set. */
static bn_context *context_new(PyObject *module, PyObject *x)
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

/* Room for the statistics of so many blocks and for gamma. */
static int context_reserve(bn_context *context, size_t blocks)
{
    double *saved = PyMem_Malloc((3 * blocks + context->shape.channels) * sizeof(double));
    if (saved == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    context->saved = (bn_saved){saved, saved + blocks, saved + 2 * blocks, saved + 3 * blocks};
    return 0;
}

/* The vjp, which owns the context from here on, even when it fails. */
static PyObject *vjp_new(bn_context *context)
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

/* A function's name, its positional arguments, and its keyword arguments, all of them required. */
typedef struct {
    const char *name, *positional;
    Py_ssize_t positionals;
    int keywords;
    const char *keyword[3];
} signature;

/* The keyword arguments in the order of the signature. */
static int parse(const signature *of, PyObject *const *args, Py_ssize_t positional, PyObject *names, PyObject **found)
{
    if (positional != of->positionals) {
        PyErr_Format(PyExc_TypeError, "%s() takes %zd positional arguments (%s), got %zd", of->name, of->positionals,
                     of->positional, positional);
        return -1;
    }
    const Py_ssize_t given = names == NULL ? 0 : PyTuple_Size(names);
    for (Py_ssize_t i = 0; i < given; i++) {
        PyObject *name = PyTuple_GetItem(names, i);
        int k = 0;
        while (k < of->keywords && PyUnicode_CompareWithASCIIString(name, of->keyword[k]) != 0)
            k++;
        if (k == of->keywords) {
            PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument %R", of->name, name);
            return -1;
        }
        found[k] = args[positional + i];
    }
    for (int k = 0; k < of->keywords; k++)
        if (found[k] == NULL) {
            PyErr_Format(PyExc_TypeError, "%s() missing the keyword argument '%s'", of->name, of->keyword[k]);
            return -1;
        }
    return 0;
}

static int parse_eps(const module_state *state, PyObject *object, double *eps)
{
    if (number(state, "eps", object, eps) < 0)
        return -1;
    if (*eps >= 0)
        return 0;
    PyErr_Format(PyExc_ValueError, "eps is %R, expected at least 0", object);
    return -1;
}

static PyObject *forward(PyObject *module, PyObject *const *args, Py_ssize_t positional, PyObject *names)
{
    static const char *const PER_CHANNEL[] = {"gamma", "beta", "running_mean", "running_var"};
    enum { TRAINING, EPS, MOMENTUM };
    static const signature SIGNATURE = {
        "forward", "x, gamma, beta, running_mean, running_var", 5, 3, {"training", "eps", "momentum"}};
    const module_state *state = PyModule_GetState(module);
    PyObject *keyword[3] = {NULL};
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
    if (parse_eps(state, keyword[EPS], &eps) < 0 || number(state, "momentum", keyword[MOMENTUM], &momentum) < 0)
        goto done;
    if (training && shape.batch * shape.spatial == 1) {
        refuse_shape("x", args[0], "more than 1 value per channel when training");
        goto done;
    }
    if (context_reserve(context, shape.channels) < 0)
        goto done;
    bn_forward call = {
        .shape = shape,
        .training = training,
        .eps = eps,
        .momentum = momentum,
        .x = x->buf,
        .gamma = in[0].buf,
        .beta = in[1].buf,
        .running_mean = in[2].buf,
        .running_var = in[3].buf,
        .saved = context->saved,
    };
    if ((array[0] = new_array(state, x, &out[0], &call.y)) == NULL ||
        (array[1] = new_array(state, &in[2], &out[1], &call.new_mean)) == NULL ||
        (array[2] = new_array(state, &in[3], &out[2], &call.new_var)) == NULL)
        goto done;
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
        (y = new_array(state, x, &y_view, &call.y)) == NULL)
        goto done;
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

static PyObject *group_norm(PyObject *module, PyObject *const *args, Py_ssize_t positional, PyObject *names)
{
    static const signature SIGNATURE = {"group_norm", "x, gamma, beta", 3, 2, {"groups", "eps"}};
    return grouped_forward(&SIGNATURE, 1, module, args, positional, names);
}

static PyObject *rms_norm(PyObject *module, PyObject *const *args, Py_ssize_t positional, PyObject *names)
{
    static const signature SIGNATURE = {"rms_norm", "x, gamma, beta", 3, 2, {"groups", "eps"}};
    return grouped_forward(&SIGNATURE, 0, module, args, positional, names);
}

/* ---- the module ---- */

static int module_exec(PyObject *module)
{
    module_state *state = PyModule_GetState(module);
    PyObject *numpy = PyImport_ImportModule("numpy");
    if (numpy == NULL)
        return -1;
    state->ndarray = PyObject_GetAttrString(numpy, "ndarray");
    state->empty = PyObject_GetAttrString(numpy, "empty");
    state->float32 = PyObject_GetAttrString(numpy, "float32");
    state->float64 = PyObject_GetAttrString(numpy, "float64");
    Py_DECREF(numpy);
    return state->ndarray && state->empty && state->float32 && state->float64 ? 0 : -1;
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
    module_state *state = PyModule_GetState(module);
    Py_VISIT(state->ndarray);
    Py_VISIT(state->empty);
    Py_VISIT(state->float32);
    Py_VISIT(state->float64);
    return 0;
}

static int module_clear(PyObject *module)
{
    module_state *state = PyModule_GetState(module);
    Py_CLEAR(state->ndarray);
    Py_CLEAR(state->empty);
    Py_CLEAR(state->float32);
    Py_CLEAR(state->float64);
    return 0;
}

static PyMethodDef methods[] = {
    {"forward", (PyCFunction)(void (*)(void))forward, METH_FASTCALL | METH_KEYWORDS,
     "forward($module, x, gamma, beta, running_mean, running_var, /, *, training, eps, momentum)\n--\n\n"
     "Normalize x (N, C, *spatial) per channel; return y, (running_mean, running_var) and vjp.\n\n"
     "The vjp keeps x by reference, or a copy if x is not C-contiguous and aligned: don't change x\n"
     "before the last call of vjp. Raises TypeError for what is no float32 or float64 array, for\n"
     "arrays of different dtypes and for a mode that is not True or False; ValueError for wrong\n"
     "shapes, for eps < 0 and for training on a single value per channel."},
    {"group_norm", (PyCFunction)(void (*)(void))group_norm, METH_FASTCALL | METH_KEYWORDS,
     "group_norm($module, x, gamma, beta, /, *, groups, eps)\n--\n\n"
     "Normalize every group of channels of every row of x (N, C, *spatial); return y and vjp.\n\n"
     "gamma and beta are (C,). The vjp keeps x as that of forward does. Raises TypeError for what is no\n"
     "float32 or float64 array, for arrays of different dtypes and for groups that is no int; ValueError\n"
     "for wrong shapes, for eps < 0 and for groups that do not divide C."},
    {"rms_norm", (PyCFunction)(void (*)(void))rms_norm, METH_FASTCALL | METH_KEYWORDS,
     "rms_norm($module, x, gamma, beta, /, *, groups, eps)\n--\n\n"
     "Divide every group of channels of every row of x (N, C, *spatial) by its root mean square; return\n"
     "y and vjp. Otherwise as group_norm."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, module_exec},
    {0, NULL},
};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_c_fused",
    .m_doc = "Normalization in C, see the package's documentation.",
    .m_size = sizeof(module_state),
    .m_methods = methods,
    .m_slots = slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
};

PyMODINIT_FUNC PyInit__c_fused(void) { return PyModuleDef_Init(&definition); }
