// The levels that the kernels are compiled for.
#ifndef SWAN_LEVELS_H
#define SWAN_LEVELS_H

#include "CSwanCPUKernels.h"
#include <math.h>
#include <string.h>

#pragma clang diagnostic ignored "-Wpsabi"

extern const SwanKernels swan_level_base;
#if defined(__x86_64__)
extern const SwanKernels swan_level_v3;  // AVX2 and FMA
extern const SwanKernels swan_level_v4;  // AVX-512 F, BW, CD, DQ, VL
#endif

#endif
