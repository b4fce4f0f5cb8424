// The levels that the loops are compiled for.
#ifndef SWAN_FORMAT_LEVELS_H
#define SWAN_FORMAT_LEVELS_H

#include "CSwanFormats.h"
#include <string.h>

extern const SwanFormats swan_formats_base;
#if defined(__x86_64__)
extern const SwanFormats swan_formats_v3;  // AVX2
extern const SwanFormats swan_formats_v4;  // AVX-512 F, BW, CD, DQ, VL
#endif

#endif
