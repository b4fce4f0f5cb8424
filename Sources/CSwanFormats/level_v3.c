#include "levels.h"

#if defined(__x86_64__)

#define SWAN_LEVEL swan_formats_v3
#define SWAN_LEVEL_NAME "AVX2"

#pragma clang attribute push(__attribute__((target("arch=x86-64-v3"))), apply_to = function)
#include "level.h"
#pragma clang attribute pop

#endif
