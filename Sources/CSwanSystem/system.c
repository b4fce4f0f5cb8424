#define _GNU_SOURCE
#include "swan_system.h"

#include <errno.h>
#include <fcntl.h>
#ifdef __GLIBC__
#include <gnu/libc-version.h>
#endif

int swan_reserve(int descriptor, int64_t size) {
    return fallocate(descriptor, 0, 0, (off_t)size) == 0 ? 0 : errno;
}

int swan_inflate_begin(z_stream *stream) { return inflateInit2(stream, -MAX_WBITS); }

const char *swan_libc_version(void) {
#ifdef __GLIBC__
    return gnu_get_libc_version();
#else
    return 0;
#endif
}
