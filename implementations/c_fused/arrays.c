/* NumPy arrays in and out, by the buffer protocol. */
#include "binding.h"

#include <stdint.h>
#include <string.h>

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

int refuse_type(const module_state *state, const char *name, PyObject *object, const char *expected)
{
    PyErr_Clear();
    PyObject *text = describe(state, object);
    if (text != NULL)
        PyErr_Format(PyExc_TypeError, "%s is %U, expected %s", name, text, expected);
    Py_XDECREF(text);
    return -1;
}

int refuse_shape(const char *name, PyObject *array, const char *expected)
{
    PyObject *shape = PyObject_GetAttrString(array, "shape");
    if (shape != NULL)
        PyErr_Format(PyExc_ValueError, "%s has shape %R, expected %s", name, shape, expected);
    Py_XDECREF(shape);
    return -1;
}

/* NumPy marks unaligned arrays with "=". */
char type_of(const Py_buffer *view)
{
    const char *format = view->format + (view->format[0] == '=');
    return (format[0] == 'f' || format[0] == 'd') && format[1] == '\0' ? format[0] : 0;
}

static const char *expected_type(char type)
{
    return type == 'f'   ? "a NumPy array of float32 as x is"
           : type == 'd' ? "a NumPy array of float64 as x is"
                         : "a NumPy array of float32 or float64";
}

static int is_plain(const Py_buffer *view)
{
    return PyBuffer_IsContiguous(view, 'C') && (uintptr_t)view->buf % (size_t)view->itemsize == 0;
}

/* The buffer of an array of the type, with the flags. On failure nothing is held and an exception is set. */
static int view_of(const module_state *state, const char *name, PyObject *object, char type, int flags,
                   Py_buffer *view)
{
    if (!PyObject_TypeCheck(object, (PyTypeObject *)state->ndarray) || PyObject_GetBuffer(object, view, flags) < 0) {
        view->obj = NULL;
        return refuse_type(state, name, object, expected_type(type)); /* datetime64, say, has no buffer */
    }
    const char found = type_of(view);
    if (found != 0 && (type == 0 || found == type))
        return 0;
    PyBuffer_Release(view);
    return refuse_type(state, name, object, expected_type(type));
}

int borrow(const module_state *state, const char *name, PyObject *object, char type, Py_buffer *view)
{
    if (view_of(state, name, object, type, PyBUF_RECORDS_RO, view) < 0)
        return -1;
    if (is_plain(view))
        return 0;
    PyBuffer_Release(view);
    PyObject *copy = PyObject_CallMethod(object, "copy", NULL);
    if (copy == NULL)
        return -1;
    const int status = PyObject_GetBuffer(copy, view, PyBUF_RECORDS_RO);
    Py_DECREF(copy); /* the view keeps it */
    return status;
}

int borrow_per_channel(const module_state *state, const char *name, PyObject *object, const Py_buffer *x,
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

PyObject *new_array(const module_state *state, const Py_buffer *like, Py_buffer *view)
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
    return array;
}

static int overlap(const Py_buffer *one, const Py_buffer *other)
{
    const char *start = one->buf, *second = other->buf;
    return one->len > 0 && other->len > 0 && start < second + other->len && second < start + one->len;
}

/* A given array, to write to. */
static int given_array(const module_state *state, PyObject *object, const char *name, const Py_buffer *like,
                       Py_buffer *view)
{
    if (view_of(state, name, object, type_of(like), PyBUF_RECORDS_RO, view) < 0)
        return -1;
    const int same_shape = view->ndim == like->ndim &&
                           memcmp(view->shape, like->shape, sizeof(Py_ssize_t) * (size_t)like->ndim) == 0;
    if (same_shape && is_plain(view) && !view->readonly)
        return 0;
    PyBuffer_Release(view);
    if (!same_shape)
        return refuse_shape(name, object, like->ndim == 1 ? "one value for each channel of x" : "the shape of x");
    PyErr_Format(PyExc_ValueError, "%s is not C-contiguous, aligned and writable", name);
    return -1;
}

int outputs(const module_state *state, PyObject *out, const char *const name[3], const Py_buffer *const like[3],
            const Py_buffer *const *overlapping, PyObject *array[3], Py_buffer view[3])
{
    if (out == NULL || out == Py_None) {
        for (int i = 0; i < 3; i++)
            if ((array[i] = new_array(state, like[i], &view[i])) == NULL)
                return -1;
        return 0;
    }
    if (!PyTuple_Check(out) || PyTuple_Size(out) != 3)
        return refuse_type(state, "out", out, "a tuple of three arrays");
    for (int i = 0; i < 3; i++) {
        array[i] = Py_NewRef(PyTuple_GetItem(out, i));
        if (given_array(state, array[i], name[i], like[i], &view[i]) < 0)
            return -1;
        int shared = 0;
        for (const Py_buffer *const *input = overlapping; *input != NULL; input++)
            shared |= overlap(*input, &view[i]);
        for (int j = 0; j < i; j++)
            shared |= overlap(&view[j], &view[i]);
        if (shared) {
            PyErr_Format(PyExc_ValueError, "%s shares memory with another array of the call", name[i]);
            return -1;
        }
    }
    return 0;
}
