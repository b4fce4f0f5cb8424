// The text of Swan's CUDA kernels, embedded when Swan is built and compiled by NVRTC where it runs.
#ifndef CSWAN_KERNELS_H
#define CSWAN_KERNELS_H

#include <stddef.h>

#pragma clang assume_nonnull begin

// One file of CUDA C++.
typedef struct {
    const char *name;    // without folder: "layer_norm.cu", "swan_device.cuh"
    const char *text;    // NUL-terminated
    size_t bytes;        // without the NUL
} SwanKernelSource;

// The file at `index`, or NULL behind the last one. Kernels end in ".cu" and hold one entry point, named
// like the file; headers end in ".cuh" and are given to the compiler under their names.
const SwanKernelSource *_Nullable swan_kernel_source_at(size_t index);

#pragma clang assume_nonnull end

#endif
