#include "CSwanCUDA.h"

#include <dlfcn.h>

// Libraries look one another up by soname, so their symbols are shared.
static void *opened(const char *path) { return dlopen(path, RTLD_NOW | RTLD_GLOBAL); }

#define FIND_IF_THERE(name) table->name = (__typeof__(table->name))dlsym(library, #name);

#define FIND(name)                                                \
    table->name = (__typeof__(table->name))dlsym(library, #name); \
    if (!table->name) return #name;

const char *swan_driver_open(const char *path, SwanDriver *table) {
    void *library = opened(path);
    if (!library) return path;
    FIND(cuInit)
    FIND(cuDriverGetVersion)
    FIND(cuGetErrorName)
    FIND(cuGetErrorString)
    FIND(cuDeviceGetCount)
    FIND(cuDeviceGet)
    FIND(cuDeviceGetName)
    FIND(cuDeviceGetAttribute)
    FIND(cuDeviceTotalMem_v2)
    FIND(cuDevicePrimaryCtxRetain)
    FIND(cuDevicePrimaryCtxRelease_v2)
    FIND(cuDevicePrimaryCtxSetFlags_v2)
    FIND(cuCtxSetCurrent)
    FIND(cuCtxGetStreamPriorityRange)
    FIND(cuStreamCreateWithPriority)
    FIND(cuStreamDestroy_v2)
    FIND(cuStreamSynchronize)
    FIND(cuStreamWaitEvent)
    FIND(cuEventCreate)
    FIND(cuEventDestroy_v2)
    FIND(cuEventRecord)
    FIND(cuEventSynchronize)
    FIND(cuEventQuery)
    FIND(cuEventElapsedTime)
    FIND(cuMemGetInfo_v2)
    FIND(cuMemAlloc_v2)
    FIND(cuMemFree_v2)
    FIND(cuMemAllocAsync)
    FIND(cuMemFreeAsync)
    FIND(cuDeviceGetDefaultMemPool)
    FIND(cuMemPoolSetAttribute)
    FIND(cuMemPoolGetAttribute)
    FIND(cuMemPoolTrimTo)
    FIND(cuMemHostAlloc)
    FIND(cuMemFreeHost)
    FIND(cuMemcpyHtoDAsync_v2)
    FIND(cuMemcpyDtoHAsync_v2)
    FIND(cuMemcpyDtoDAsync_v2)
    FIND(cuMemsetD8Async)
    FIND(cuModuleLoadData)
    FIND(cuModuleUnload)
    FIND(cuModuleGetFunction)
    FIND(cuFuncGetAttribute)
    FIND(cuFuncSetAttribute)
    FIND(cuLaunchKernel)
    FIND_IF_THERE(cuTensorMapEncodeTiled)
    return NULL;
}

const char *swan_nvrtc_open(const char *path, const char *builtins, SwanNvrtc *table) {
    if (builtins && !opened(builtins)) return builtins;
    void *library = opened(path);
    if (!library) return path;
    FIND(nvrtcVersion)
    FIND(nvrtcGetErrorString)
    FIND(nvrtcCreateProgram)
    FIND(nvrtcDestroyProgram)
    FIND(nvrtcCompileProgram)
    FIND(nvrtcGetCUBINSize)
    FIND(nvrtcGetCUBIN)
    FIND(nvrtcGetPTXSize)
    FIND(nvrtcGetPTX)
    FIND(nvrtcGetProgramLogSize)
    FIND(nvrtcGetProgramLog)
    FIND(nvrtcGetNumSupportedArchs)
    FIND(nvrtcGetSupportedArchs)
    return NULL;
}

const char *swan_cublaslt_open(const char *path, SwanCublasLtTable *table) {
    void *library = opened(path);
    if (!library) return path;
    FIND(cublasLtGetVersion)
    FIND(cublasLtGetStatusName)
    FIND(cublasLtGetStatusString)
    FIND(cublasLtCreate)
    FIND(cublasLtDestroy)
    FIND(cublasLtMatmulDescCreate)
    FIND(cublasLtMatmulDescDestroy)
    FIND(cublasLtMatmulDescSetAttribute)
    FIND(cublasLtMatrixLayoutCreate)
    FIND(cublasLtMatrixLayoutDestroy)
    FIND(cublasLtMatmulPreferenceCreate)
    FIND(cublasLtMatmulPreferenceDestroy)
    FIND(cublasLtMatmulPreferenceSetAttribute)
    FIND(cublasLtMatmulAlgoGetHeuristic)
    FIND(cublasLtMatmul)
    return NULL;
}

const char *swan_cudnn_open(const char *path, SwanCudnnTable *table) {
    void *library = opened(path);
    if (!library) return path;
    FIND(cudnnGetVersion)
    FIND(cudnnGetErrorString)
    FIND(cudnnGetLastErrorString)
    FIND(cudnnCreate)
    FIND(cudnnDestroy)
    FIND(cudnnSetStream)
    FIND(cudnnBackendCreateDescriptor)
    FIND(cudnnBackendDestroyDescriptor)
    FIND(cudnnBackendSetAttribute)
    FIND(cudnnBackendGetAttribute)
    FIND(cudnnBackendFinalize)
    FIND(cudnnBackendExecute)
    return NULL;
}
