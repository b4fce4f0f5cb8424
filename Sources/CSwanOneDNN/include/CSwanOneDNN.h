// oneDNN (libdnnl.so.2), opened at run time, so that Swan also starts where it is not installed; and
// the threads of the OpenMP library that it was built with.
//
// Convolutions only: they are what oneDNN generates code for. Its descriptors are large structs that
// are filled and thrown away, so they stay on this side.
#ifndef CSWAN_ONEDNN_H
#define CSWAN_ONEDNN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#pragma clang assume_nonnull begin

// The opened library, with an engine and a stream for the processor.
typedef struct SwanOneDNN SwanOneDNN;

// Opens the library. Sets `*library` and returns NULL, or returns the name of what is missing: the
// library, a symbol, "version" or "OpenMP". `version` receives the version found, as far as it is
// known. The result lives until the process ends and may be used by any thread.
const char *_Nullable swan_onednn_open(const SwanOneDNN *_Nullable *_Nonnull library, int32_t version[_Nonnull 3]);

// Threads ------------------------------------------------------------------------------------------

// The number of threads that `swan_parallel` uses, the caller among them.
int32_t swan_threads(const SwanOneDNN *library);
// Calls body(context, index, thread) for every index below `count`, on the same threads that oneDNN
// uses: two pools would take the cores from each other. The next index goes to the next thread that is
// free. Returns when all are done. `thread` is below `swan_threads`.
void swan_parallel(const SwanOneDNN *library, ptrdiff_t count,
                   void (*body)(void *context, ptrdiff_t index, int32_t thread), void *context);

// Convolutions -------------------------------------------------------------------------------------

// A convolution over channels-last frames: [frames, height, width, channels].
typedef struct {
    int64_t frames, height, width, inputs;         // of the input
    int64_t outFrames, outHeight, outWidth, outputs;  // of the result
    int64_t kernelFrames, kernelHeight, kernelWidth;
    int64_t frameStride, stride;
    int64_t top, bottom, left, right;  // rows and columns of zeros around
    bool accumulates;                  // adds to what the result holds
} SwanConvolutionShape;

// A convolution's code for one shape.
typedef struct SwanConvolution SwanConvolution;

// Generates code. Weights lie as in `like` where that is given, else as oneDNN wants. Returns oneDNN's
// status: 0, or 3 when there is no fast code for this shape and layout. Not for use from two threads.
int32_t swan_convolution_create(const SwanOneDNN *library, const SwanConvolutionShape *shape,
                                const SwanConvolution *_Nullable like,
                                SwanConvolution *_Nullable *_Nonnull convolution);
void swan_convolution_destroy(const SwanOneDNN *library, SwanConvolution *convolution);
// oneDNN's name of the code that it chose.
const char *swan_convolution_implementation(const SwanOneDNN *library, const SwanConvolution *convolution);
size_t swan_convolution_weight_bytes(const SwanOneDNN *library, const SwanConvolution *convolution);
size_t swan_convolution_scratch_bytes(const SwanOneDNN *library, const SwanConvolution *convolution);
// Whether two convolutions read weights of one layout.
bool swan_convolution_same_weights(const SwanOneDNN *library, const SwanConvolution *a, const SwanConvolution *b);
// Brings weights [outputs, inputs, frames, height, width], or those of another layout `from`, into the
// layout of `convolution`; `target` holds `swan_convolution_weight_bytes`.
int32_t swan_convolution_pack(const SwanOneDNN *library, const SwanConvolution *convolution,
                              const SwanConvolution *_Nullable from, const float *source, float *target);
int32_t swan_convolution_run(const SwanOneDNN *library, const SwanConvolution *convolution, const float *x,
                             const float *weights, const float *bias, float *y, void *_Nullable scratch);

#pragma clang assume_nonnull end

#endif
