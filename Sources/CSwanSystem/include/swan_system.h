// Interfaces of the system that Swift does not see: calls of Linux and its C library behind a feature macro, and zlib's
// initialiser, which is a macro itself.
#ifndef SWAN_SYSTEM_H
#define SWAN_SYSTEM_H

#include <stdint.h>
#include <zlib.h>

/// Reserves the first `size` bytes of a file on its disk, keeping what is there; makes it that long.
///
/// Returns 0, or the error number; EOPNOTSUPP where the file system cannot.
int swan_reserve(int descriptor, int64_t size);

/// Begins to decompress a raw deflate stream, as in zip files (RFC 1951): zlib's `inflateInit2` with -15.
int swan_inflate_begin(z_stream *stream);

/// The version of the C library, as `2.36`; NULL where it is not GNU's.
const char *swan_libc_version(void);

#endif
