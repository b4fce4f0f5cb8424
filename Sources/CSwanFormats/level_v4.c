#include "levels.h"

#if defined(__x86_64__)

#define SWAN_LEVEL swan_formats_v4
#define SWAN_LEVEL_NAME "AVX-512"

// The features by name: "arch=x86-64-v4" also asks for a tuning that splits vectors into halves.
#pragma clang attribute push(                                                                     \
    __attribute__((target("avx2,fma,avx512f,avx512bw,avx512cd,avx512dq,avx512vl"))), apply_to = function)
#include "level.h"
#pragma clang attribute pop

#endif
