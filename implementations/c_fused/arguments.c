/* Keyword arguments and numbers. */
#include "binding.h"

#include "parallel.h"

/* Which of the signature's keywords it is, or -1. */
static int keyword_index(const signature *of, PyObject *name)
{
    for (int k = 0; k < of->keywords; k++)
        if (name == of->interned[k])
            return k;
    for (int k = 0; k < of->keywords; k++)
        if (PyUnicode_CompareWithASCIIString(name, of->keyword[k]) == 0)
            return k;
    return -1;
}

int parse(signature *of, PyObject *const *args, Py_ssize_t positional, PyObject *names, PyObject **found)
{
    for (int k = 0; k < of->keywords && of->interned[k] == NULL; k++)
        if ((of->interned[k] = PyUnicode_InternFromString(of->keyword[k])) == NULL)
            return -1;
    if (positional != of->positionals) {
        PyErr_Format(PyExc_TypeError, "%s() takes %zd positional arguments (%s), got %zd", of->name, of->positionals,
                     of->positional, positional);
        return -1;
    }
    const Py_ssize_t given = names == NULL ? 0 : PyTuple_Size(names);
    for (Py_ssize_t i = 0; i < given; i++) {
        PyObject *name = PyTuple_GetItem(names, i);
        const int k = keyword_index(of, name);
        if (k < 0) {
            PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument %R", of->name, name);
            return -1;
        }
        found[k] = args[positional + i];
    }
    for (int k = 0; k < of->required; k++)
        if (found[k] == NULL) {
            PyErr_Format(PyExc_TypeError, "%s() missing the keyword argument '%s'", of->name, of->keyword[k]);
            return -1;
        }
    return 0;
}

int parse_number(const char *name, PyObject *object, double *value)
{
    *value = PyFloat_AsDouble(object);
    return *value == -1 && PyErr_Occurred() ? refuse_type(name, object, "a number") : 0;
}

int parse_eps(PyObject *object, double *eps)
{
    if (parse_number("eps", object, eps) < 0)
        return -1;
    if (*eps >= 0)
        return 0;
    PyErr_Format(PyExc_ValueError, "eps is %R, expected at least 0", object);
    return -1;
}

int parse_threads(PyObject *object, size_t *threads)
{
    *threads = 1;
    if (object == NULL)
        return 0;
    if (!PyLong_Check(object) || PyBool_Check(object)) {
        PyErr_Format(PyExc_TypeError, "threads is %R, expected a whole number", object);
        return -1;
    }
    *threads = PyLong_AsSize_t(object); /* (size_t)-1 for what does not fit, negative numbers too */
    PyErr_Clear();
    if (*threads >= 1 && *threads <= MAX_THREADS)
        return 0;
    PyErr_Format(PyExc_ValueError, "threads is %R, expected 1 to %d", object, MAX_THREADS);
    return -1;
}
