/* What the binding (module.c), the runtime and the kernels say to each other.
 *
 * A kernel is a function of a list of arguments: arrays with their shape and strides, integers and numbers. It is listed with its
 * name and its signature, one letter per argument, from which the binding converts and checks what Python passes:
 *
 *   r  array that is read          R  the same, or None
 *   w  array that is written       W  the same, or None
 *   i  integer                     f  floating-point number
 *
 * A kernel returns false to decline (the reference then answers), and throws std::invalid_argument for shapes that would make it
 * read or write outside its arrays.
 */
#ifndef MYTORCH_KERNELS_H
#define MYTORCH_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { MYTORCH_MAX_ARGUMENTS = 40, MYTORCH_MAX_DIMS = 64 };

/* The element types that kernels know; of anything else only the size is known. */
enum mytorch_type {
    MYTORCH_OTHER, MYTORCH_FLOAT32, MYTORCH_FLOAT64, MYTORCH_BFLOAT16,
    MYTORCH_BOOL, MYTORCH_INT8, MYTORCH_UINT8, MYTORCH_INT16, MYTORCH_INT32, MYTORCH_INT64, MYTORCH_FLOAT16,
};

typedef struct {
    void *data; /* NULL for None */
    int type;   /* enum mytorch_type */
    int ndim;
    int64_t itemsize;
    const int64_t *shape;
    const int64_t *strides; /* in bytes */
} mytorch_array;

typedef union {
    mytorch_array array;
    int64_t integer;
    double number;
} mytorch_argument;

typedef struct {
    const char *name;
    const char *signature;
    int (*run)(const mytorch_argument *arguments); /* 0 declines */
} mytorch_kernel;

/* ---- runtime.cpp: which build of the kernels this processor runs ---- */

/* The kernels of one instruction set, ended by a NULL name; NULL where this machine cannot run it or it was not built.
 * "" or NULL chooses the best one. `chosen` receives its name. */
const mytorch_kernel *mytorch_kernels(const char *isa, const char **chosen);

/* 1 done, 0 declined, -1 refused: `message` then says why. */
int mytorch_run(const mytorch_kernel *kernel, const mytorch_argument *arguments, char *message, size_t size);

/* ---- threads.cpp ---- */

/* Run task(context, i) for i in [0, count) on this thread and its helpers; returns when all are done. Calls made inside a task, or
 * while another thread's job runs, work through their tasks alone. */
void mytorch_parallel(int64_t count, void (*task)(void *context, int64_t index), void *context);
int mytorch_get_threads(void);
void mytorch_set_threads(int count);

/* ---- memory.cpp: blocks of memory that are used again ---- */

/* A block of at least that many bytes, aligned to a cache line; NULL when there is none. */
void *mytorch_take(size_t bytes);
/* Give it back, with the size it was asked for. */
void mytorch_give(void *block, size_t bytes);
/* The same for memory that a kernel needs while it runs: each thread keeps its last small blocks, outside of what is counted as idle. */
void *mytorch_take_scratch(size_t bytes);
void mytorch_give_scratch(void *block, size_t bytes);
/* Return every idle block to the system. */
void mytorch_empty_cache(void);
/* Bytes in idle blocks, bytes in use, and the largest sum of both so far. */
void mytorch_memory(size_t *idle, size_t *used, size_t *peak);

#ifdef __cplusplus
}
#endif

#endif
