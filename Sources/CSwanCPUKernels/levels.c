#include "levels.h"

const SwanKernels *swan_kernels_at(int index) {
    switch (index) {
    case 0: return &swan_level_base;
#if defined(__x86_64__)
    case 1: return __builtin_cpu_supports("x86-64-v3") ? &swan_level_v3 : NULL;
    case 2: return __builtin_cpu_supports("x86-64-v4") ? &swan_level_v4 : NULL;
#endif
    default: return NULL;
    }
}

const SwanKernels *swan_kernels(void) {
    for (int index = 2; index > 0; index--) {
        const SwanKernels *table = swan_kernels_at(index);
        if (table) return table;
    }
    return &swan_level_base;
}
