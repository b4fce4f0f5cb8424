// What every processor of the architecture has: SSE2 or NEON.
#include "levels.h"

#define SWAN_LEVEL swan_formats_base
#if defined(__aarch64__)
#define SWAN_LEVEL_NAME "NEON"
#elif defined(__x86_64__)
#define SWAN_LEVEL_NAME "SSE2"
#else
#define SWAN_LEVEL_NAME "generic vectors"
#endif

#include "level.h"
