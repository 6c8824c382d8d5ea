/* mytorch._native: the binding of the C++ kernels, and nothing else.
 *
 * Limited API, METH_FASTCALL and the buffer protocol: no NumPy headers. One function, `call`, serves every kernel: it converts the
 * arguments by the kernel's signature (kernels.h), releases the GIL for large ones, and runs it. Which call is worth making is
 * decided in mytorch/backends/; shapes are checked by the kernels.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <string.h>

#include "kernels.h"

#ifndef Py_LIMITED_API
#error "build with Py_LIMITED_API=0x030B0000: one extension serves Python 3.11 and up"
#endif

/* Raised by one whenever a signature changes: mytorch/backends/native.py refuses an extension of another revision. */
#define REVISION 3

/* Below this many bytes in all arrays other threads gain nothing from a released GIL. */
#define RELEASE_GIL_FROM 131072

_Static_assert(sizeof(Py_ssize_t) == sizeof(int64_t), "shapes and strides are passed as they are: 64-bit systems only");

static int type_of(const Py_buffer *view) {
    const char *format = view->format == NULL ? "B" : view->format;
    if (format[0] == '<' || format[0] == '=' || format[0] == '@') { /* little-endian: ours; big-endian stays unknown */
        ++format;
    }
    if (strncmp(format, "T{", 2) == 0) {
        return strstr(format, ":bfloat16:") != NULL && view->itemsize == 2 ? MYTORCH_BFLOAT16 : MYTORCH_OTHER;
    }
    if (format[0] == '\0' || format[1] != '\0') {
        return MYTORCH_OTHER;
    }
    switch (format[0]) {
    case 'f': return MYTORCH_FLOAT32;
    case 'd': return MYTORCH_FLOAT64;
    case 'e': return MYTORCH_FLOAT16;
    case '?': return MYTORCH_BOOL;
    case 'b': return MYTORCH_INT8;
    case 'B': return MYTORCH_UINT8;
    case 'h': return MYTORCH_INT16;
    case 'i': return MYTORCH_INT32;
    case 'q': return MYTORCH_INT64;
    case 'l': return view->itemsize == 8 ? MYTORCH_INT64 : MYTORCH_INT32;
    default: return MYTORCH_OTHER;
    }
}

static int is_aligned(const Py_buffer *view) {
    uintptr_t bits = (uintptr_t)view->buf;
    for (int i = 0; i < view->ndim; ++i) {
        bits |= (uintptr_t)view->strides[i];
    }
    return view->itemsize <= 1 || view->len == 0 || bits % (uintptr_t)view->itemsize == 0;
}

static const mytorch_kernel *kernel_of(PyObject *capsule) {
    return (const mytorch_kernel *)PyCapsule_GetPointer(capsule, NULL);
}

/* NotImplemented if the kernel declines, else the first array that it wrote (or None). */
static PyObject *call(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    const mytorch_kernel *kernel = kernel_of(self);
    const char *signature = kernel->signature;
    mytorch_argument arguments[MYTORCH_MAX_ARGUMENTS];
    Py_buffer views[MYTORCH_MAX_ARGUMENTS];
    int held = 0;
    int aligned = 1;
    Py_ssize_t bytes = 0;
    PyObject *written = Py_None;
    PyObject *result = NULL;

    if (nargs != (Py_ssize_t)strlen(signature)) {
        return PyErr_Format(PyExc_TypeError, "%s takes %zu arguments (%s), got %zd", kernel->name, strlen(signature), signature, nargs);
    }
    for (Py_ssize_t i = 0; i < nargs; ++i) {
        const char letter = signature[i];
        if (letter == 'i') {
            arguments[i].integer = PyLong_AsLongLong(args[i]);
            if (arguments[i].integer == -1 && PyErr_Occurred()) {
                goto release;
            }
        } else if (letter == 'f') {
            arguments[i].number = PyFloat_AsDouble(args[i]);
            if (arguments[i].number == -1.0 && PyErr_Occurred()) {
                goto release;
            }
        } else if (args[i] == Py_None && (letter == 'R' || letter == 'W')) {
            memset(&arguments[i].array, 0, sizeof(mytorch_array));
        } else {
            const int writes = letter == 'w' || letter == 'W';
            Py_buffer *view = &views[held];
            if (PyObject_GetBuffer(args[i], view, writes ? PyBUF_RECORDS : PyBUF_RECORDS_RO) < 0) {
                goto release;
            }
            ++held;
            bytes += view->len;
            aligned &= is_aligned(view);
            arguments[i].array = (mytorch_array){
                .data = view->buf, .type = type_of(view), .ndim = view->ndim, .itemsize = view->itemsize,
                .shape = (const int64_t *)view->shape, .strides = (const int64_t *)view->strides};
            if (writes && written == Py_None) {
                written = args[i];
            }
        }
    }
    if (!aligned) {
        result = Py_NewRef(Py_NotImplemented);
        goto release;
    }
    char message[256];
    PyThreadState *released = bytes >= RELEASE_GIL_FROM ? PyEval_SaveThread() : NULL;
    const int done = mytorch_run(kernel, arguments, message, sizeof(message));
    if (released != NULL) {
        PyEval_RestoreThread(released);
    }
    if (done < 0) {
        PyErr_SetString(PyExc_ValueError, message);
    } else {
        result = Py_NewRef(done ? written : Py_NotImplemented);
    }
release:
    while (held > 0) {
        PyBuffer_Release(&views[--held]);
    }
    return result;
}

/* ---- Block: memory of the pool, as an object that NumPy can lay an array over ---- */

typedef struct {
    PyObject_HEAD
    void *data;
    Py_ssize_t size;
} Block;

static PyObject *block_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    (void)keywords;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(args, "n", &size)) {
        return NULL;
    }
    if (size < 0) {
        return PyErr_Format(PyExc_ValueError, "a block has at least 0 bytes, got %zd", size);
    }
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Block *self = (Block *)allocate(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->size = size;
    self->data = mytorch_take((size_t)size);
    if (self->data == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static void block_dealloc(PyObject *object) {
    Block *self = (Block *)object;
    if (self->data != NULL) {
        mytorch_give(self->data, (size_t)self->size);
    }
    PyTypeObject *type = Py_TYPE(object);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

static int block_getbuffer(PyObject *object, Py_buffer *view, int flags) {
    Block *self = (Block *)object;
    return PyBuffer_FillInfo(view, object, self->data, self->size, 0, flags);
}

static PyType_Slot block_slots[] = {
    {Py_tp_doc, "Block(size)\n--\n\nMemory of the pool; it returns there when the last array over it is gone."},
    {Py_tp_new, (void *)block_new},
    {Py_tp_dealloc, (void *)block_dealloc},
    {Py_bf_getbuffer, (void *)block_getbuffer},
    {0, NULL},
};

static PyType_Spec block_spec = {
    .name = "mytorch._native.Block", .basicsize = sizeof(Block), .flags = Py_TPFLAGS_DEFAULT, .slots = block_slots};

/* ---- empty(shape, dtype): what every override makes its outputs with ---- */

/* Below this many bytes malloc has memory at hand, and NumPy makes the array in a third of the time. */
#define POOLED_FROM 32768

static PyObject *numpy_empty = NULL;
static PyObject *numpy_ndarray = NULL;
static PyObject *block_type = NULL;

static PyObject *empty(PyObject *module, PyObject *const *args, Py_ssize_t nargs) {
    (void)module;
    if (nargs != 2 || !PyTuple_Check(args[0])) {
        return PyErr_Format(PyExc_TypeError, "empty takes a shape, which is a tuple, and a dtype");
    }
    Py_ssize_t count = 1;
    const Py_ssize_t ndim = PyTuple_Size(args[0]);
    for (Py_ssize_t i = 0; i < ndim; ++i) {
        const Py_ssize_t n = PyNumber_AsSsize_t(PyTuple_GetItem(args[0], i), PyExc_OverflowError);
        if (n == -1 && PyErr_Occurred()) {
            return NULL;
        }
        if (n < 0 || (n > 0 && count > PY_SSIZE_T_MAX / 64 / n)) { /* NumPy says what is wrong with it */
            return PyObject_CallFunctionObjArgs(numpy_empty, args[0], args[1], NULL);
        }
        count *= n;
    }
    Py_ssize_t bytes = 0;
    if (count >= POOLED_FROM / 16) {
        PyObject *itemsize = PyObject_GetAttrString(args[1], "itemsize");
        bytes = itemsize == NULL ? -1 : count * PyLong_AsSsize_t(itemsize);
        Py_XDECREF(itemsize);
        if (PyErr_Occurred()) {
            return NULL;
        }
    }
    if (bytes < POOLED_FROM) {
        return PyObject_CallFunctionObjArgs(numpy_empty, args[0], args[1], NULL);
    }
    PyObject *block = PyObject_CallFunction(block_type, "n", bytes);
    PyObject *array = block == NULL ? NULL : PyObject_CallFunctionObjArgs(numpy_ndarray, args[0], args[1], block, NULL);
    Py_XDECREF(block);
    return array;
}

/* ---- the module ---- */

static PyObject *get_num_threads(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    return PyLong_FromLong(mytorch_get_threads());
}

static PyObject *set_num_threads(PyObject *module, PyObject *number) {
    (void)module;
    const long count = PyLong_AsLong(number);
    if (count == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (count < 1 || count > 256) {
        return PyErr_Format(PyExc_ValueError, "expected 1 to 256 threads, got %ld", count);
    }
    mytorch_set_threads((int)count);
    return Py_NewRef(Py_None);
}

static PyObject *empty_cache(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    mytorch_empty_cache();
    return Py_NewRef(Py_None);
}

static PyObject *memory(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    size_t idle;
    size_t used;
    size_t peak;
    mytorch_memory(&idle, &used, &peak);
    return Py_BuildValue("nnn", (Py_ssize_t)idle, (Py_ssize_t)used, (Py_ssize_t)peak);
}

/* All kernels of one instruction set as a dictionary of callables. */
static PyObject *kernels(PyObject *module, PyObject *isa) {
    (void)module;
    const char *wanted = PyUnicode_AsUTF8AndSize(isa, NULL);
    if (wanted == NULL) {
        return NULL;
    }
    const char *chosen = NULL;
    const mytorch_kernel *kernel = mytorch_kernels(wanted, &chosen);
    if (kernel == NULL) {
        return PyErr_Format(PyExc_ValueError, "MYTORCH_ISA is '%s': this build or this processor has no such instruction set", wanted);
    }
    static PyMethodDef definition = {"kernel", (PyCFunction)(void (*)(void))call, METH_FASTCALL, "A kernel of kernels.h."};
    PyObject *table = PyDict_New();
    for (; table != NULL && kernel->name != NULL; ++kernel) {
        PyObject *capsule = PyCapsule_New((void *)kernel, NULL, NULL);
        PyObject *function = capsule == NULL ? NULL : PyCFunction_NewEx(&definition, capsule, NULL);
        if (function == NULL || PyDict_SetItemString(table, kernel->name, function) < 0) {
            Py_CLEAR(table);
        }
        Py_XDECREF(function);
        Py_XDECREF(capsule);
        if (table == NULL) {
            return NULL;
        }
    }
    return table == NULL ? NULL : Py_BuildValue("sN", chosen, table);
}

/* {kernel name: signature}, which every instruction set has in common. */
static PyObject *signatures(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    const char *chosen = NULL;
    PyObject *table = PyDict_New();
    for (const mytorch_kernel *kernel = mytorch_kernels("", &chosen); table != NULL && kernel->name != NULL; ++kernel) {
        PyObject *text = PyUnicode_FromString(kernel->signature);
        if (text == NULL || PyDict_SetItemString(table, kernel->name, text) < 0) {
            Py_CLEAR(table);
        }
        Py_XDECREF(text);
    }
    return table;
}

static PyMethodDef methods[] = {
    {"kernels", kernels, METH_O, "kernels(isa)\n--\n\n(name, {kernel name: callable}) of an instruction set; '' means the best."},
    {"signatures", signatures, METH_NOARGS, "signatures()\n--\n\n{kernel name: signature}."},
    {"get_num_threads", get_num_threads, METH_NOARGS, "get_num_threads()\n--\n\nThreads that a kernel may use."},
    {"set_num_threads", set_num_threads, METH_O, "set_num_threads(count)\n--\n\nLet kernels use that many threads."},
    {"empty_cache", empty_cache, METH_NOARGS, "empty_cache()\n--\n\nReturn idle blocks of memory to the system."},
    {"empty", (PyCFunction)(void (*)(void))empty, METH_FASTCALL,
     "empty(shape, dtype)\n--\n\nAn array with any contents, over memory of the pool if it is large."},
    {"memory", memory, METH_NOARGS, "memory()\n--\n\n(idle, used, peak) bytes of the pool."},
    {NULL, NULL, 0, NULL},
};

static int execute(PyObject *module) {
    PyObject *type = PyType_FromModuleAndSpec(module, &block_spec, NULL);
    if (type == NULL) {
        return -1;
    }
    const int failed = PyModule_AddType(module, (PyTypeObject *)type);
    PyObject *numpy = failed ? NULL : PyImport_ImportModule("numpy");
    if (numpy != NULL) {
        numpy_empty = PyObject_GetAttrString(numpy, "empty");
        numpy_ndarray = PyObject_GetAttrString(numpy, "ndarray");
    }
    Py_XDECREF(numpy);
    block_type = type; /* the module's own reference, which lasts as long as this library */
    if (numpy_empty == NULL || numpy_ndarray == NULL) {
        return -1;
    }
#ifdef MYTORCH_NO_POOL
    const int pooled = 0;
#else
    const int pooled = 1;
#endif
    if (failed || PyModule_AddIntConstant(module, "POOLED", pooled) < 0) {
        return -1;
    }
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
