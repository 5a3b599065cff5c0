/* What the Python functions of this extension share: arguments in, arrays out, and the vjp.
 *
 * Written against CPython's stable ABI (3.11) and the buffer protocol, so that one binary serves
 * every later Python and NumPy and a call costs about a microsecond.
 */
#ifndef BNBENCH_BINDING_H
#define BNBENCH_BINDING_H

#include <Python.h>

#include "kernels.h"

typedef struct {
    PyObject *ndarray, *empty, *float32, *float64; /* NumPy's */
} module_state;

enum { WITHOUT_GIL = 1 << 17 }; /* bytes of x from which on other threads may run meanwhile */

/* ---- arguments.c ---- */

/* A function's name, its positional arguments, and its keyword arguments, of which so many are required. */
typedef struct {
    const char *name, *positional;
    Py_ssize_t positionals;
    int keywords, required;
    const char *keyword[5];
} signature;

/* The keyword arguments in the order of the signature; what is not given stays as it is. */
int parse(const signature *of, PyObject *const *args, Py_ssize_t positional, PyObject *names, PyObject **found);
int parse_number(const module_state *state, const char *name, PyObject *object, double *value);
int parse_eps(const module_state *state, PyObject *object, double *eps);
int parse_threads(PyObject *object, size_t *threads); /* NULL: 1 */

/* ---- arrays.c ---- */

int refuse_type(const module_state *state, const char *name, PyObject *object, const char *expected);
int refuse_shape(const char *name, PyObject *array, const char *expected);

/* 'f' or 'd' for native float32 or float64, else 0. */
char type_of(const Py_buffer *view);

/* Borrow the memory of a NumPy array of type 'f' or 'd' (0: either), or the memory of a copy if it
 * is not contiguous or not aligned. On failure nothing is held and an exception is set. */
int borrow(const module_state *state, const char *name, PyObject *object, char type, Py_buffer *view);
int borrow_per_channel(const module_state *state, const char *name, PyObject *object, const Py_buffer *x,
                       Py_buffer *view);

/* Three arrays to write to, each of the type and shape of `like`: new ones (out is NULL or None), or those of a
 * tuple. `name` is what messages call them, `overlapping` are the call's inputs, none of which may share memory with them. On failure, what is in
 * `array` and `view` is still to be released, and an exception is set. */
int outputs(const module_state *state, PyObject *out, const char *const name[3], const Py_buffer *const like[3],
            const Py_buffer *const *overlapping, PyObject *array[3], Py_buffer view[3]);
PyObject *new_array(const module_state *state, const Py_buffer *like, Py_buffer *view);

/* ---- vjp.c ---- */

/* What a vjp keeps of its forward call: x by reference, the channels by value. */
typedef struct {
    PyObject *module;
    Py_buffer x;
    bn_shape shape;
    size_t groups;  /* 0: batch norm */
    int training;   /* of batch norm */
    size_t threads; /* of batch norm */
    int centred;    /* of the others */
    bn_saved saved; /* four arrays in one allocation, at saved.shift */
} bn_context;

/* The call's context with x borrowed and nothing saved, or NULL with an exception set. */
bn_context *context_new(PyObject *module, PyObject *x);
void context_free(bn_context *context);
int context_reserve(bn_context *context, size_t blocks); /* room for their statistics and for gamma */
PyObject *vjp_new(bn_context *context); /* owns the context from here on, even when it fails */

/* ---- the functions of the module ---- */

PyObject *forward(PyObject *module, PyObject *const *args, Py_ssize_t positional, PyObject *names);
PyObject *group_norm(PyObject *module, PyObject *const *args, Py_ssize_t positional, PyObject *names);
PyObject *rms_norm(PyObject *module, PyObject *const *args, Py_ssize_t positional, PyObject *names);
PyObject *copy(PyObject *module, PyObject *const *args, Py_ssize_t positional, PyObject *names);
PyObject *triad(PyObject *module, PyObject *const *args, Py_ssize_t positional, PyObject *names);

#endif
