// All kernels of this instruction set. A family is a list ended by a null name; a new file adds two lines here.
#include "array.h"

namespace mytorch {

namespace MYTORCH_VECTORS {

extern const mytorch_kernel activation_kernels[];
extern const mytorch_kernel arrange_kernels[];
extern const mytorch_kernel choose_kernels[];
extern const mytorch_kernel copy_kernels[];
extern const mytorch_kernel draws_kernels[];
extern const mytorch_kernel extreme_kernels[];
extern const mytorch_kernel function_kernels[];
extern const mytorch_kernel gate_kernels[];
extern const mytorch_kernel loss_kernels[];
extern const mytorch_kernel norm_kernels[];
extern const mytorch_kernel optim_kernels[];
extern const mytorch_kernel order_kernels[];
extern const mytorch_kernel pointwise_kernels[];
extern const mytorch_kernel pool_kernels[];
extern const mytorch_kernel resize_kernels[];
extern const mytorch_kernel scan_kernels[];
extern const mytorch_kernel scatter_kernels[];
extern const mytorch_kernel softmax_kernels[];
extern const mytorch_kernel sum_kernels[];

}  // namespace MYTORCH_VECTORS

namespace MYTORCH_ISA {

extern const mytorch_kernel attention_kernels[];
extern const mytorch_kernel attention_grad_kernels[];
extern const mytorch_kernel bfloat16_kernels[];
extern const mytorch_kernel conv_kernels[];
extern const mytorch_kernel conv_weight_kernels[];
extern const mytorch_kernel linear_kernels[];
extern const mytorch_kernel matmul_kernels[];
extern const mytorch_kernel recurrent_kernels[];

namespace {

const mytorch_kernel *const families[] = {
    activation_kernels,
    arrange_kernels,
    attention_kernels,
    attention_grad_kernels,
    bfloat16_kernels,
    choose_kernels,
    conv_kernels,
    conv_weight_kernels,
    copy_kernels,
    draws_kernels,
    extreme_kernels,
    function_kernels,
    gate_kernels,
    linear_kernels,
    loss_kernels,
    matmul_kernels,
    norm_kernels,
    optim_kernels,
    order_kernels,
    pointwise_kernels,
    pool_kernels,
    recurrent_kernels,
    resize_kernels,
    scan_kernels,
    scatter_kernels,
    softmax_kernels,
    sum_kernels,
};

constexpr int MOST = 256;
mytorch_kernel table[MOST + 1];

const mytorch_kernel *all_kernels() {
    int count = 0;
    for (const mytorch_kernel *family : families) {
        for (; family->name != nullptr && count < MOST; ++family) {
            table[count++] = *family;
        }
    }
    return table;  // the entry behind the last has a null name
}

}  // namespace

extern const mytorch_kernel *const kernels;
const mytorch_kernel *const kernels = all_kernels();

}  // namespace MYTORCH_ISA
}  // namespace mytorch
