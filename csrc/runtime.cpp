// Which build of the kernels this processor runs, and how a kernel's exception becomes a message.
//
// Every file in kernels/ is compiled once per instruction set, in a namespace of its own; here they meet.
#include <cstdio>
#include <cstring>
#include <exception>

#include "kernels.h"

#ifdef MYTORCH_HAS_AMX
#include <cpuid.h>
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

namespace mytorch {
namespace baseline { extern const mytorch_kernel *const kernels; }
#ifdef MYTORCH_HAS_X86
namespace avx2 { extern const mytorch_kernel *const kernels; }
namespace avx512 { extern const mytorch_kernel *const kernels; }
#endif
#ifdef MYTORCH_HAS_AMX
namespace amx { extern const mytorch_kernel *const kernels; }
#endif
}  // namespace mytorch

namespace {

bool always() { return true; }

#ifdef MYTORCH_HAS_X86
bool has_avx512() {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("fma");
}
#endif

#ifdef MYTORCH_HAS_AMX
// Linux keeps the matrix unit's registers for those processes that asked for them before their first use.
bool has_amx() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (!has_avx512() || __get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d >> 22 & 1) == 0 || (d >> 24 & 1) == 0) {
        return false;
    }
#ifdef __linux__
    constexpr long request_permission = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM
    return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
    return false;
#endif
}
#endif

struct Build {
    const char *isa;
    bool (*runs_here)();
    const mytorch_kernel *const *kernels;
};

const Build builds[] = {
#ifdef MYTORCH_HAS_AMX
    {"amx", has_amx, &mytorch::amx::kernels},
#endif
#ifdef MYTORCH_HAS_X86
    {"avx512", has_avx512, &mytorch::avx512::kernels},
    {"avx2", [] { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }, &mytorch::avx2::kernels},
#endif
    {"baseline", always, &mytorch::baseline::kernels},
};

}  // namespace

extern "C" const mytorch_kernel *mytorch_kernels(const char *isa, const char **chosen) {
    const bool any = isa == nullptr || *isa == '\0';
    for (const Build &build : builds) {
        if ((any || std::strcmp(isa, build.isa) == 0) && build.runs_here()) {
            *chosen = build.isa;
            return *build.kernels;
        }
    }
    return nullptr;
}

extern "C" int mytorch_run(const mytorch_kernel *kernel, const mytorch_argument *arguments, char *message, size_t size) {
    try {
        return kernel->run(arguments) != 0;
    } catch (const std::exception &error) {
        std::snprintf(message, size, "%s: %s", kernel->name, error.what());
        return -1;
    }
}
