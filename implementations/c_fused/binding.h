/* What the Python functions of this extension share: arguments in, arrays out, and the vjp.
 *
 * Written against CPython's stable ABI (3.11) and NumPy's C API, whose binaries serve every later Python
 * and every NumPy from 1.26 on. A call costs half a microsecond.
 */
#ifndef BNBENCH_BINDING_H
#define BNBENCH_BINDING_H

#include <Python.h>

#include "kernels.h"

enum { WITHOUT_GIL = 1 << 17 }; /* bytes of x from which on other threads may run meanwhile */

/* ---- arguments.c ---- */

enum { KEYWORDS = 5 }; /* at most */

/* A function's name, its positional arguments, and its keyword arguments, of which so many are required. */
typedef struct {
    const char *name, *positional;
    Py_ssize_t positionals;
    int keywords, required;
    const char *keyword[KEYWORDS];
    PyObject *interned[KEYWORDS]; /* the same, from the first call on: most callers pass these very objects */
} signature;

/* The keyword arguments in the order of the signature; what is not given stays as it is. */
int parse(signature *of, PyObject *const *args, Py_ssize_t positional, PyObject *names, PyObject **found);
int parse_number(const char *name, PyObject *object, double *value);
int parse_eps(PyObject *object, double *eps);
int parse_threads(PyObject *object, size_t *threads); /* NULL: 1 */

/* ---- arrays.c ---- */

/* A NumPy array that is held, C-contiguous and aligned. */
typedef struct {
    PyObject *object;        /* NULL: none */
    void *data;
    size_t bytes;
    char type;               /* 'f' or 'd': float32 or float64 */
    int ndim;
    const Py_ssize_t *shape;
} bn_array;

int load_arrays(void); /* once, before anything else here; -1 with an exception set */
int refuse_type(const char *name, PyObject *object, const char *expected);
int refuse_shape(const char *name, PyObject *array, const char *expected);
void release(bn_array *array);
int is_writable(const bn_array *array);

/* Hold a NumPy array of type 'f' or 'd' (0: either), or a copy of it that is contiguous and aligned. On failure
 * nothing is held and an exception is set. */
int borrow(const char *name, PyObject *object, char type, bn_array *array);
int borrow_per_channel(const char *name, PyObject *object, const bn_array *x, bn_array *array);

/* So many arrays to write to, each of the type and shape of `like`. */
typedef struct {
    int count;
    const char *expected;      /* what messages say that a tuple of them is */
    const char *const *name;   /* what messages call each of them */
    const bn_array *const *like;
} bn_outputs;

/* New ones (out is NULL or None), or those of a tuple. None of `inputs`, which ends with NULL, may share memory with
 * them. On failure, what is in `array` is still to be released, and an exception is set. */
int outputs(const bn_outputs *of, PyObject *out, const bn_array *const *inputs, bn_array *array);

/* ---- vjp.c ---- */

enum { DIMENSIONS = 5 }; /* of x, at most */

/* What a vjp keeps of its forward call: x by reference, the channels by value. */
typedef struct {
    bn_array x;
    Py_ssize_t dims[DIMENSIONS]; /* x.shape, whatever becomes of that of the array itself */
    bn_shape shape;
    size_t groups;  /* 0: batch norm */
    int training;   /* of batch norm */
    int centred;    /* of the others */
    size_t threads;
    bn_saved saved; /* four arrays, behind this record */
} bn_context;

/* The call's x, (N, C) or (N, C, *spatial), and its shape. On failure nothing is held and an exception is set. */
int borrow_x(PyObject *object, bn_array *x, bn_shape *shape);

/* A context that holds x too, with room for the statistics of so many blocks and for gamma; or NULL with an exception
 * set. */
bn_context *context_new(const bn_array *x, bn_shape shape, size_t blocks);
void context_free(bn_context *context);
PyObject *vjp_new(bn_context *context); /* owns the context from here on, even when it fails */

/* ---- the functions of the module ---- */

PyObject *forward(PyObject *module, PyObject *const *args, Py_ssize_t positional, PyObject *names);
PyObject *group_norm(PyObject *module, PyObject *const *args, Py_ssize_t positional, PyObject *names);
PyObject *rms_norm(PyObject *module, PyObject *const *args, Py_ssize_t positional, PyObject *names);
PyObject *copy(PyObject *module, PyObject *const *args, Py_ssize_t positional, PyObject *names);
PyObject *triad(PyObject *module, PyObject *const *args, Py_ssize_t positional, PyObject *names);

#endif
