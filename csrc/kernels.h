/* The kernels that the binding (module.c) and the stand-alone check (check_kernels.cpp) call.
 *
 * Every kernel works on contiguous, aligned float32 and trusts its caller; x and y may be the same array.
 */
#ifndef MYTORCH_KERNELS_H
#define MYTORCH_KERNELS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* y = x where x > 0, NaN where x is NaN, else 0; -0.0 stays -0.0 (as in torch). */
void mytorch_relu_f32(const float *x, float *y, size_t n);

#ifdef __cplusplus
}
#endif

#endif
