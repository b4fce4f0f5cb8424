// The part of libsentencepiece that Swan calls, as plain C.
//
// The library has a C++ interface only, so that it can be linked but not opened at run time. No C++
// exception passes this border. The library ends the process on some models that it should refuse:
// hand it only bytes whose content has been checked.

#ifndef CSWAN_SENTENCEPIECE_H
#define CSWAN_SENTENCEPIECE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// A loaded model. All functions that take it as const may be called from several threads at once.
typedef struct swan_sentencepiece swan_sentencepiece;

// Loads a serialised ModelProto. Returns NULL, with a NUL-terminated text in `message`, on failure.
swan_sentencepiece *swan_sentencepiece_open(const void *model, size_t bytes, char *message, size_t message_bytes);

// Frees a model; NULL is allowed.
void swan_sentencepiece_close(swan_sentencepiece *model);

// The number of pieces of the model.
int32_t swan_sentencepiece_size(const swan_sentencepiece *model);

// Segments UTF-8 text. Writes the first `capacity` ids to `ids` and returns how many there are in all,
// or -1 with a NUL-terminated text in `message`.
int64_t swan_sentencepiece_encode(
    const swan_sentencepiece *model, const char *text, size_t bytes, int32_t *ids, size_t capacity, char *message,
    size_t message_bytes);

#ifdef __cplusplus
}
#endif

#endif
