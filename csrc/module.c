/* mytorch._native: the binding of the C++ kernels, and nothing else.
 *
 * Limited API, METH_FASTCALL and the buffer protocol: no NumPy headers, about 160 ns a call. Which call is worth making, and
 * the dtype, is decided in mytorch/backends/native.py; this file checks what memory safety needs (contiguity, size, alignment).
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>

#include "kernels.h"

#ifndef Py_LIMITED_API
#error "build with Py_LIMITED_API=0x030B0000: one extension serves Python 3.11 and up"
#endif

/* Raised by one whenever a signature here changes: mytorch/backends/native.py refuses an extension of another revision. */
#define REVISION 1

/* Below this many elements other threads gain nothing from a released GIL. */
#define RELEASE_GIL_FROM 65536

/* Borrow two equally long float buffers, the second one writable. Returns -1 with an exception set, and then holds neither. */
static int borrow_pair(PyObject *x_array, PyObject *y_array, Py_buffer *x, Py_buffer *y) {
    if (PyObject_GetBuffer(x_array, x, PyBUF_SIMPLE) < 0) {
        return -1;
    }
    if (PyObject_GetBuffer(y_array, y, PyBUF_SIMPLE | PyBUF_WRITABLE) < 0) {
        PyBuffer_Release(x);
        return -1;
    }
    if (x->len != y->len || x->len % (Py_ssize_t)sizeof(float) != 0) {
        PyErr_Format(PyExc_ValueError, "expected float32 buffers of one size, got %zd and %zd bytes", x->len, y->len);
        PyBuffer_Release(x);
        PyBuffer_Release(y);
        return -1;
    }
    return 0;
}

static int is_aligned(const Py_buffer *view) {
    return (uintptr_t)view->buf % sizeof(float) == 0;
}

PyDoc_STRVAR(relu_doc,
             "relu(x, y)\n--\n\n"
             "Write max(x, 0) into y, NaN passed on, and return y; NotImplemented if a buffer is not aligned.");

static PyObject *relu(PyObject *module, PyObject *const *args, Py_ssize_t nargs) {
    (void)module;
    if (nargs != 2) {
        return PyErr_Format(PyExc_TypeError, "relu takes 2 arguments (x, y), got %zd", nargs);
    }
    Py_buffer x;
    Py_buffer y;
    if (borrow_pair(args[0], args[1], &x, &y) < 0) {
        return NULL;
    }
    PyObject *result = Py_NotImplemented;
    if (is_aligned(&x) && is_aligned(&y)) {
        size_t n = (size_t)x.len / sizeof(float);
        PyThreadState *released = n >= RELEASE_GIL_FROM ? PyEval_SaveThread() : NULL;
        mytorch_relu_f32((const float *)x.buf, (float *)y.buf, n);
        if (released != NULL) {
            PyEval_RestoreThread(released);
        }
        result = args[1];
    }
    PyBuffer_Release(&x);
    PyBuffer_Release(&y);
    return Py_NewRef(result);
}

static PyMethodDef methods[] = {
    {"relu", (PyCFunction)(void (*)(void))relu, METH_FASTCALL, relu_doc},
    {NULL, NULL, 0, NULL},
};

static int execute(PyObject *module) {
    return PyModule_AddIntConstant(module, "REVISION", REVISION);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)execute},
    {0, NULL},
};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "mytorch._native",
    .m_doc = "C++ kernels of mytorch; mytorch.backends decides when they answer.",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__native(void) {
    return PyModuleDef_Init(&definition);
}
