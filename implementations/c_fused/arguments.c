/* Keyword arguments and numbers. */
#include "binding.h"

#include "parallel.h"

int parse(const signature *of, PyObject *const *args, Py_ssize_t positional, PyObject *names, PyObject **found)
{
    if (positional != of->positionals) {
        PyErr_Format(PyExc_TypeError, "%s() takes %zd positional arguments (%s), got %zd", of->name, of->positionals,
                     of->positional, positional);
        return -1;
    }
    const Py_ssize_t given = names == NULL ? 0 : PyTuple_Size(names);
    for (Py_ssize_t i = 0; i < given; i++) {
        PyObject *name = PyTuple_GetItem(names, i);
        int k = (int)i % of->keywords, looked = 0; /* most callers keep to the order of the signature */
        for (; looked < of->keywords; looked++, k = (k + 1) % of->keywords)
            if (PyUnicode_CompareWithASCIIString(name, of->keyword[k]) == 0)
                break;
        if (looked == of->keywords) {
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

int parse_number(const module_state *state, const char *name, PyObject *object, double *value)
{
    *value = PyFloat_AsDouble(object);
    return *value == -1 && PyErr_Occurred() ? refuse_type(state, name, object, "a number") : 0;
}

int parse_eps(const module_state *state, PyObject *object, double *eps)
{
    if (parse_number(state, "eps", object, eps) < 0)
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
