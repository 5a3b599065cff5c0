/* bnbench.implementations.c_fused._c_fused: the kernels as Python functions. */
#include "binding.h"

#include "parallel.h"

static int module_exec(PyObject *module)
{
    (void)module;
    bn_load();
    return load_arrays();
}

static PyMethodDef methods[] = {
    {"forward", (PyCFunction)(void (*)(void))forward, METH_FASTCALL | METH_KEYWORDS,
     "forward($module, x, gamma, beta, running_mean, running_var, /, *, training, eps, momentum, out=None, threads=1)\n"
     "--\n\n"
     "Normalize x (N, C, *spatial) per channel; return y, (running_mean, running_var) and vjp.\n\n"
     "The vjp keeps x by reference, or a copy if x is not C-contiguous and aligned: don't change x\n"
     "before the last call of vjp. out is a tuple of three arrays to write y and the running statistics to,\n"
     "which are then returned. threads is for the vjp too and changes no result.\n\n"
     "Raises TypeError for what is no float32 or float64 array, for arrays of different dtypes and for a\n"
     "mode that is not True or False; ValueError for wrong shapes, for eps < 0, for training on a single\n"
     "value per channel and for an out that shares memory with an argument."},
    {"group_norm", (PyCFunction)(void (*)(void))group_norm, METH_FASTCALL | METH_KEYWORDS,
     "group_norm($module, x, gamma, beta, /, *, groups, eps, out=None, threads=1)\n--\n\n"
     "Normalize every group of channels of every row of x (N, C, *spatial); return y and vjp.\n\n"
     "gamma and beta are (C,). The vjp keeps x as that of forward does. out is a tuple of one array to write\n"
     "y to, which is then returned. threads is for the vjp too and changes no result. Raises TypeError for\n"
     "what is no float32 or float64 array, for arrays of different dtypes and for groups that is no int;\n"
     "ValueError for wrong shapes, for eps < 0, for groups that do not divide C and for an out that shares\n"
     "memory with an argument."},
    {"rms_norm", (PyCFunction)(void (*)(void))rms_norm, METH_FASTCALL | METH_KEYWORDS,
     "rms_norm($module, x, gamma, beta, /, *, groups, eps, out=None, threads=1)\n--\n\n"
     "Divide every group of channels of every row of x (N, C, *spatial) by its root mean square; return\n"
     "y and vjp. Otherwise as group_norm."},
    {"copy", (PyCFunction)(void (*)(void))copy, METH_FASTCALL | METH_KEYWORDS,
     "copy($module, one, target, /, *, streaming, threads)\n--\n\n"
     "Read one and write target, arrays of one size: as fast as a forward pass can be."},
    {"triad", (PyCFunction)(void (*)(void))triad, METH_FASTCALL | METH_KEYWORDS,
     "triad($module, one, other, target, /, *, streaming, threads)\n--\n\n"
     "Read one and other and write target, arrays of one size: as fast as a backward pass can be."},
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
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__c_fused(void) { return PyModuleDef_Init(&definition); }
