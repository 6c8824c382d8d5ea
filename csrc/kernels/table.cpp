// All kernels of this instruction set. A family is a list ended by a null name; a new file adds a line here.
#include "array.h"

namespace mytorch {
namespace MYTORCH_ISA {

extern const mytorch_kernel conv_kernels[];
extern const mytorch_kernel conv_weight_kernels[];
extern const mytorch_kernel matmul_kernels[];
extern const mytorch_kernel pointwise_kernels[];

namespace {

const mytorch_kernel *const families[] = {
    conv_kernels,
    conv_weight_kernels,
    matmul_kernels,
    pointwise_kernels,
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
