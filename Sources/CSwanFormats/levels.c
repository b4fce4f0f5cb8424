#include "levels.h"

const SwanFormats *swan_formats_at(int index) {
    switch (index) {
    case 0: return &swan_formats_base;
#if defined(__x86_64__)
    case 1: return __builtin_cpu_supports("x86-64-v3") ? &swan_formats_v3 : NULL;
    case 2: return __builtin_cpu_supports("x86-64-v4") ? &swan_formats_v4 : NULL;
#endif
    default: return NULL;
    }
}

const SwanFormats *swan_formats(void) {
    for (int index = 2; index > 0; index--) {
        const SwanFormats *table = swan_formats_at(index);
        if (table) return table;
    }
    return &swan_formats_base;
}
