/* NumPy arrays in and out. The only file that sees NumPy's headers. */
#include "binding.h"

#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#include <numpy/arrayobject.h>

#include <string.h>

int load_arrays(void) { return PyArray_ImportNumPyAPI(); }

/* "a list" or "an array of int64": a new reference, or NULL with an exception set. */
static PyObject *describe(PyObject *object)
{
    if (PyArray_Check(object))
        return PyUnicode_FromFormat("an array of %S", (PyObject *)PyArray_DESCR((PyArrayObject *)object));
    PyObject *name = PyType_GetName(Py_TYPE(object));
    PyObject *text = name == NULL ? NULL : PyUnicode_FromFormat("a %S", name);
    Py_XDECREF(name);
    return text;
}

int refuse_type(const char *name, PyObject *object, const char *expected)
{
    PyErr_Clear();
    PyObject *text = describe(object);
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

void release(bn_array *array) { Py_CLEAR(array->object); }

static bn_array array_of(PyArrayObject *object, char type)
{
    return (bn_array){
        .object = (PyObject *)object,
        .data = PyArray_DATA(object),
        .bytes = (size_t)PyArray_NBYTES(object),
        .type = type,
        .ndim = PyArray_NDIM(object),
        .shape = PyArray_DIMS(object),
    };
}

static const char *expected_type(char type)
{
    return type == 'f'   ? "a NumPy array of float32 as x is"
           : type == 'd' ? "a NumPy array of float64 as x is"
                         : "a NumPy array of float32 or float64";
}

/* The object as an array of the type, not held. On failure an exception is set. */
static int look_at(const char *name, PyObject *object, char type, bn_array *array)
{
    if (PyArray_Check(object)) {
        PyArrayObject *given = (PyArrayObject *)object;
        const int number = PyArray_ISNOTSWAPPED(given) ? PyArray_TYPE(given) : NPY_NOTYPE;
        const char found = number == NPY_FLOAT ? 'f' : number == NPY_DOUBLE ? 'd' : 0;
        if (found != 0 && (type == 0 || found == type)) {
            *array = array_of(given, found);
            return 0;
        }
    }
    return refuse_type(name, object, expected_type(type));
}

int borrow(const char *name, PyObject *object, char type, bn_array *array)
{
    bn_array found = {0};
    if (look_at(name, object, type, &found) < 0)
        return -1;
    PyArrayObject *plain = (PyArrayObject *)object;
    if (PyArray_ISCARRAY_RO(plain)) {
        Py_INCREF(object);
    } else {
        plain = (PyArrayObject *)PyArray_NewCopy(plain, NPY_CORDER);
        if (plain == NULL)
            return -1;
    }
    *array = array_of(plain, found.type);
    return 0;
}

int borrow_per_channel(const char *name, PyObject *object, const bn_array *x, bn_array *array)
{
    if (borrow(name, object, x->type, array) < 0)
        return -1;
    if (array->ndim == 1 && array->shape[0] == x->shape[1])
        return 0;
    release(array);
    char expected[80];
    PyOS_snprintf(expected, sizeof expected, "(%zd,): one value for each channel of x", x->shape[1]);
    return refuse_shape(name, object, expected);
}

int is_writable(const bn_array *array) { return PyArray_ISWRITEABLE((PyArrayObject *)array->object); }

static int new_array(const bn_array *like, bn_array *array)
{
    PyObject *object = PyArray_SimpleNew(like->ndim, like->shape, like->type == 'f' ? NPY_FLOAT : NPY_DOUBLE);
    if (object == NULL)
        return -1;
    *array = array_of((PyArrayObject *)object, like->type);
    return 0;
}

static int overlap(const bn_array *one, const bn_array *other)
{
    const char *start = one->data, *second = other->data;
    return one->bytes > 0 && other->bytes > 0 && start < second + other->bytes && second < start + one->bytes;
}

/* A given array, to write to. */
static int given_array(PyObject *object, const char *name, const bn_array *like, bn_array *array)
{
    bn_array given;
    if (look_at(name, object, like->type, &given) < 0)
        return -1;
    if (given.ndim != like->ndim || memcmp(given.shape, like->shape, sizeof *like->shape * (size_t)like->ndim) != 0)
        return refuse_shape(name, object, like->ndim == 1 ? "one value for each channel of x" : "the shape of x");
    if (!PyArray_ISCARRAY((PyArrayObject *)object)) {
        PyErr_Format(PyExc_ValueError, "%s is not C-contiguous, aligned and writable", name);
        return -1;
    }
    *array = given;
    Py_INCREF(object);
    return 0;
}

int outputs(const bn_outputs *of, PyObject *out, const bn_array *const *inputs, bn_array *array)
{
    if (out == NULL || out == Py_None) {
        for (int i = 0; i < of->count; i++)
            if (new_array(of->like[i], &array[i]) < 0)
                return -1;
        return 0;
    }
    if (!PyTuple_Check(out) || PyTuple_Size(out) != of->count)
        return refuse_type("out", out, of->expected);
    for (int i = 0; i < of->count; i++) {
        if (given_array(PyTuple_GetItem(out, i), of->name[i], of->like[i], &array[i]) < 0)
            return -1;
        int shared = 0;
        for (const bn_array *const *input = inputs; *input != NULL; input++)
            shared |= overlap(*input, &array[i]);
        for (int j = 0; j < i; j++)
            shared |= overlap(&array[j], &array[i]);
        if (shared) {
            PyErr_Format(PyExc_ValueError, "%s shares memory with another array of the call", of->name[i]);
            return -1;
        }
    }
    return 0;
}
