// NVIDIA's libraries as Swan calls them: a table of functions for each, filled when the library is opened at
// run time. No header of the CUDA toolkit is needed.
//
// Declared here is what is called and no more. A constant is the official name behind `SWAN_`; types that are
// only passed on are opaque. Functions of the driver have the versioned names that its header maps to: the
// plain ones are an older interface.
#ifndef CSWAN_CUDA_H
#define CSWAN_CUDA_H

#include <stddef.h>
#include <stdint.h>

// The driver -----------------------------------------------------------------------------------------

// cuda.h, CUDA 13.0, CUresult.
enum {
    SWAN_CUDA_SUCCESS = 0,
    SWAN_CUDA_ERROR_OUT_OF_MEMORY = 2,
    SWAN_CUDA_ERROR_NO_DEVICE = 100,
    SWAN_CUDA_ERROR_INVALID_DEVICE = 101,
    SWAN_CUDA_ERROR_NO_BINARY_FOR_GPU = 209,
    SWAN_CUDA_ERROR_INVALID_IMAGE = 200,
    SWAN_CUDA_ERROR_NOT_READY = 600,
    SWAN_CUDA_ERROR_SYSTEM_DRIVER_MISMATCH = 803,
};

// cuda.h, CUdevice_attribute.
enum {
    SWAN_CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT = 16,
    SWAN_CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE = 38,
    SWAN_CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75,
    SWAN_CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76,
    SWAN_CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN = 97,
    SWAN_CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED = 115,
};

// cuda.h, CUfunction_attribute.
enum {
    SWAN_CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES = 3,
    SWAN_CU_FUNC_ATTRIBUTE_NUM_REGS = 4,
    SWAN_CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES = 8,
};

// cuda.h, CUctx_flags, CUstream_flags, CUevent_flags, CU_MEMHOSTALLOC_*.
enum {
    SWAN_CU_CTX_SCHED_BLOCKING_SYNC = 4,
    SWAN_CU_STREAM_NON_BLOCKING = 1,
    SWAN_CU_EVENT_DEFAULT = 0,
    SWAN_CU_EVENT_DISABLE_TIMING = 2,
    SWAN_CU_MEMHOSTALLOC_PORTABLE = 1,
};

// cuda.h, CUmemPool_attribute.
enum {
    SWAN_CU_MEMPOOL_ATTR_RELEASE_THRESHOLD = 4,
    SWAN_CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT = 5,
    SWAN_CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH = 6,
    SWAN_CU_MEMPOOL_ATTR_USED_MEM_CURRENT = 7,
    SWAN_CU_MEMPOOL_ATTR_USED_MEM_HIGH = 8,
};

typedef uint64_t SwanCUdeviceptr;
typedef struct SwanCUcontextT *SwanCUcontext;
typedef struct SwanCUstreamT *SwanCUstream;
typedef struct SwanCUeventT *SwanCUevent;
typedef struct SwanCUmoduleT *SwanCUmodule;
typedef struct SwanCUfunctionT *SwanCUfunction;
typedef struct SwanCUmemoryPoolT *SwanCUmemoryPool;

// cuda.h, CUDA 12.0, CUtensorMapDataType, CUtensorMapInterleave, CUtensorMapSwizzle, CUtensorMapL2promotion,
// CUtensorMapFloatOOBfill.
enum {
    SWAN_CU_TENSOR_MAP_DATA_TYPE_UINT8 = 0,
    SWAN_CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 = 9,
    SWAN_CU_TENSOR_MAP_INTERLEAVE_NONE = 0,
    SWAN_CU_TENSOR_MAP_SWIZZLE_128B = 3,
    SWAN_CU_TENSOR_MAP_L2_PROMOTION_L2_128B = 2,
    SWAN_CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE = 0,
};

// CUtensorMap has 128 bytes at a multiple of 64.
enum { SWAN_CU_TENSOR_MAP_BYTES = 128, SWAN_CU_TENSOR_MAP_ALIGNMENT = 64 };

// cuda.h, CUDA 13.0; all since CUDA 11.2, but for the last.
// The table is filled before anyone sees it and never changes after.
typedef struct {
    int32_t (*cuInit)(uint32_t flags);
    int32_t (*cuDriverGetVersion)(int32_t *version);
    int32_t (*cuGetErrorName)(int32_t error, const char **name);
    int32_t (*cuGetErrorString)(int32_t error, const char **text);
    int32_t (*cuDeviceGetCount)(int32_t *count);
    int32_t (*cuDeviceGet)(int32_t *device, int32_t ordinal);
    int32_t (*cuDeviceGetName)(char *name, int32_t bytes, int32_t device);
    int32_t (*cuDeviceGetAttribute)(int32_t *value, int32_t attribute, int32_t device);
    int32_t (*cuDeviceTotalMem_v2)(size_t *bytes, int32_t device);
    int32_t (*cuDevicePrimaryCtxRetain)(SwanCUcontext *context, int32_t device);
    int32_t (*cuDevicePrimaryCtxRelease_v2)(int32_t device);
    int32_t (*cuDevicePrimaryCtxSetFlags_v2)(int32_t device, uint32_t flags);
    int32_t (*cuCtxSetCurrent)(SwanCUcontext context);
    int32_t (*cuCtxGetStreamPriorityRange)(int32_t *least, int32_t *greatest);
    int32_t (*cuStreamCreateWithPriority)(SwanCUstream *stream, uint32_t flags, int32_t priority);
    int32_t (*cuStreamDestroy_v2)(SwanCUstream stream);
    int32_t (*cuStreamSynchronize)(SwanCUstream stream);
    int32_t (*cuStreamWaitEvent)(SwanCUstream stream, SwanCUevent event, uint32_t flags);
    int32_t (*cuEventCreate)(SwanCUevent *event, uint32_t flags);
    int32_t (*cuEventDestroy_v2)(SwanCUevent event);
    int32_t (*cuEventRecord)(SwanCUevent event, SwanCUstream stream);
    int32_t (*cuEventSynchronize)(SwanCUevent event);
    int32_t (*cuEventQuery)(SwanCUevent event);
    int32_t (*cuEventElapsedTime)(float *milliseconds, SwanCUevent start, SwanCUevent end);
    int32_t (*cuMemGetInfo_v2)(size_t *free, size_t *total);
    int32_t (*cuMemAlloc_v2)(SwanCUdeviceptr *address, size_t bytes);
    int32_t (*cuMemFree_v2)(SwanCUdeviceptr address);
    int32_t (*cuMemAllocAsync)(SwanCUdeviceptr *address, size_t bytes, SwanCUstream stream);
    int32_t (*cuMemFreeAsync)(SwanCUdeviceptr address, SwanCUstream stream);
    int32_t (*cuDeviceGetDefaultMemPool)(SwanCUmemoryPool *pool, int32_t device);
    int32_t (*cuMemPoolSetAttribute)(SwanCUmemoryPool pool, int32_t attribute, void *value);
    int32_t (*cuMemPoolGetAttribute)(SwanCUmemoryPool pool, int32_t attribute, void *value);
    int32_t (*cuMemPoolTrimTo)(SwanCUmemoryPool pool, size_t bytes);
    int32_t (*cuMemHostAlloc)(void **address, size_t bytes, uint32_t flags);
    int32_t (*cuMemFreeHost)(void *address);
    int32_t (*cuMemcpyHtoDAsync_v2)(SwanCUdeviceptr target, const void *source, size_t bytes, SwanCUstream stream);
    int32_t (*cuMemcpyDtoHAsync_v2)(void *target, SwanCUdeviceptr source, size_t bytes, SwanCUstream stream);
    int32_t (*cuMemcpyDtoDAsync_v2)(SwanCUdeviceptr target, SwanCUdeviceptr source, size_t bytes, SwanCUstream stream);
    int32_t (*cuMemsetD8Async)(SwanCUdeviceptr target, uint8_t value, size_t bytes, SwanCUstream stream);
    int32_t (*cuModuleLoadData)(SwanCUmodule *module, const void *image);
    int32_t (*cuModuleUnload)(SwanCUmodule module);
    int32_t (*cuModuleGetFunction)(SwanCUfunction *function, SwanCUmodule module, const char *name);
    int32_t (*cuFuncGetAttribute)(int32_t *value, int32_t attribute, SwanCUfunction function);
    int32_t (*cuFuncSetAttribute)(SwanCUfunction function, int32_t attribute, int32_t value);
    int32_t (*cuLaunchKernel)(SwanCUfunction function, uint32_t grid_x, uint32_t grid_y, uint32_t grid_z,
                              uint32_t block_x, uint32_t block_y, uint32_t block_z, uint32_t shared_bytes,
                              SwanCUstream stream, void **arguments, void **extra);
    // Since CUDA 12.0; NULL where the driver is older.
    int32_t (*cuTensorMapEncodeTiled)(void *map, int32_t type, uint32_t rank, SwanCUdeviceptr address,
                                      const uint64_t *extents, const uint64_t *strides, const uint32_t *tile,
                                      const uint32_t *element_strides, int32_t interleave, int32_t swizzle,
                                      int32_t promotion, int32_t fill);
} __attribute__((swift_attr("@Sendable"))) SwanDriver;

// Opens the library at `path` (libcuda.so.1) and fills the table. Returns NULL, or the name of what is missing:
// `path` itself, or a function. The library stays open until the process ends.
const char *swan_driver_open(const char *path, SwanDriver *table);

// The compiler ---------------------------------------------------------------------------------------

// nvrtc.h, CUDA 13.0, nvrtcResult.
enum {
    SWAN_NVRTC_SUCCESS = 0,
    SWAN_NVRTC_ERROR_COMPILATION = 6,
    SWAN_NVRTC_ERROR_BUILTIN_OPERATION_FAILURE = 7,
};

typedef struct SwanNvrtcProgramT *SwanNvrtcProgram;

// nvrtc.h, CUDA 13.0; all since CUDA 11.2.
// The table is filled before anyone sees it and never changes after.
typedef struct {
    int32_t (*nvrtcVersion)(int32_t *major, int32_t *minor);
    const char *(*nvrtcGetErrorString)(int32_t result);
    int32_t (*nvrtcCreateProgram)(SwanNvrtcProgram *program, const char *source, const char *name, int32_t header_count,
                                  const char *const *headers, const char *const *header_names);
    int32_t (*nvrtcDestroyProgram)(SwanNvrtcProgram *program);
    int32_t (*nvrtcCompileProgram)(SwanNvrtcProgram program, int32_t option_count, const char *const *options);
    int32_t (*nvrtcGetCUBINSize)(SwanNvrtcProgram program, size_t *bytes);
    int32_t (*nvrtcGetCUBIN)(SwanNvrtcProgram program, char *cubin);
    int32_t (*nvrtcGetPTXSize)(SwanNvrtcProgram program, size_t *bytes);
    int32_t (*nvrtcGetPTX)(SwanNvrtcProgram program, char *text);
    int32_t (*nvrtcGetProgramLogSize)(SwanNvrtcProgram program, size_t *bytes);
    int32_t (*nvrtcGetProgramLog)(SwanNvrtcProgram program, char *log);
    int32_t (*nvrtcGetNumSupportedArchs)(int32_t *count);
    int32_t (*nvrtcGetSupportedArchs)(int32_t *architectures);
} __attribute__((swift_attr("@Sendable"))) SwanNvrtc;

// Opens the library at `path` (libnvrtc.so) and fills the table. Returns NULL, or the name of what is missing:
// `path` itself, or a function. The library stays open until the process ends.
// `builtins` is the path of the libnvrtc-builtins of the same version: the compiler looks for it by name,
// so it is opened first; NULL leaves that to the loader.
const char *swan_nvrtc_open(const char *path, const char *builtins, SwanNvrtc *table);

// Matrix products ------------------------------------------------------------------------------------

// cublas_api.h, cuBLAS 13.1, cublasStatus_t.
enum {
    SWAN_CUBLAS_STATUS_SUCCESS = 0,
    SWAN_CUBLAS_STATUS_ALLOC_FAILED = 3,
    SWAN_CUBLAS_STATUS_INVALID_VALUE = 7,
    SWAN_CUBLAS_STATUS_NOT_SUPPORTED = 15,
};

// library_types.h, cudaDataType_t; cublas_api.h, cublasComputeType_t and cublasOperation_t.
enum {
    SWAN_CUDA_R_32F = 0,
    SWAN_CUDA_R_16BF = 14,
    SWAN_CUDA_R_8F_E4M3 = 28,
    SWAN_CUDA_R_8I = 3,
    SWAN_CUDA_R_32I = 10,
    SWAN_CUBLAS_COMPUTE_32F = 68,
    SWAN_CUBLAS_COMPUTE_32I = 72,
    SWAN_CUBLAS_OP_N = 0,
    SWAN_CUBLAS_OP_T = 1,
};

// cublasLt.h, cublasLtMatmulDescAttributes_t.
enum {
    SWAN_CUBLASLT_MATMUL_DESC_TRANSA = 3,
    SWAN_CUBLASLT_MATMUL_DESC_TRANSB = 4,
    SWAN_CUBLASLT_MATMUL_DESC_EPILOGUE = 7,
    SWAN_CUBLASLT_MATMUL_DESC_BIAS_POINTER = 8,
    SWAN_CUBLASLT_MATMUL_DESC_A_SCALE_POINTER = 17,
    SWAN_CUBLASLT_MATMUL_DESC_B_SCALE_POINTER = 18,
    SWAN_CUBLASLT_MATMUL_DESC_FAST_ACCUM = 25,
    SWAN_CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE = 26,
    SWAN_CUBLASLT_MATMUL_DESC_A_SCALE_MODE = 31,
    SWAN_CUBLASLT_MATMUL_DESC_B_SCALE_MODE = 32,
};

// cublasLt.h, cublasLtEpilogue_t.
enum {
    SWAN_CUBLASLT_EPILOGUE_DEFAULT = 1,
    SWAN_CUBLASLT_EPILOGUE_BIAS = 4,
    SWAN_CUBLASLT_EPILOGUE_GELU = 32,
    SWAN_CUBLASLT_EPILOGUE_GELU_BIAS = 36,
};

// cublasLt.h, cublasLtMatmulMatrixScale_t, cublasLtMatmulPreferenceAttributes_t.
enum {
    SWAN_CUBLASLT_MATMUL_MATRIX_SCALE_SCALAR_32F = 0,
    SWAN_CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F = 3,
    SWAN_CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES = 1,
};

typedef struct SwanCublasLtT *SwanCublasLt;
typedef struct SwanCublasLtMatmulDescT *SwanCublasLtMatmulDesc;
typedef struct SwanCublasLtLayoutT *SwanCublasLtLayout;
typedef struct SwanCublasLtPreferenceT *SwanCublasLtPreference;

// cublasLt.h, cublasLtMatmulAlgo_t: may be kept and used again with the same version of the library.
typedef struct {
    uint64_t data[8];
} SwanCublasLtAlgorithm;

// cublasLt.h, cublasLtMatmulHeuristicResult_t.
typedef struct {
    SwanCublasLtAlgorithm algorithm;
    size_t workspace_bytes;
    int32_t status;
    float waves;
    int32_t reserved[4];
} SwanCublasLtHeuristic;
_Static_assert(sizeof(SwanCublasLtAlgorithm) == 64, "cublasLtMatmulAlgo_t");
_Static_assert(sizeof(SwanCublasLtHeuristic) == 96, "cublasLtMatmulHeuristicResult_t");

// cublasLt.h, cuBLAS 13.1.
// The table is filled before anyone sees it and never changes after.
typedef struct {
    size_t (*cublasLtGetVersion)(void);
    const char *(*cublasLtGetStatusName)(int32_t status);
    const char *(*cublasLtGetStatusString)(int32_t status);
    int32_t (*cublasLtCreate)(SwanCublasLt *handle);
    int32_t (*cublasLtDestroy)(SwanCublasLt handle);
    int32_t (*cublasLtMatmulDescCreate)(SwanCublasLtMatmulDesc *description, int32_t compute_type, int32_t scale_type);
    int32_t (*cublasLtMatmulDescDestroy)(SwanCublasLtMatmulDesc description);
    int32_t (*cublasLtMatmulDescSetAttribute)(SwanCublasLtMatmulDesc description, int32_t attribute, const void *value,
                                              size_t bytes);
    int32_t (*cublasLtMatrixLayoutCreate)(SwanCublasLtLayout *layout, int32_t type, uint64_t rows,
                                          uint64_t columns, int64_t stride);
    int32_t (*cublasLtMatrixLayoutDestroy)(SwanCublasLtLayout layout);
    int32_t (*cublasLtMatmulPreferenceCreate)(SwanCublasLtPreference *preference);
    int32_t (*cublasLtMatmulPreferenceDestroy)(SwanCublasLtPreference preference);
    int32_t (*cublasLtMatmulPreferenceSetAttribute)(SwanCublasLtPreference preference, int32_t attribute,
                                                    const void *value, size_t bytes);
    int32_t (*cublasLtMatmulAlgoGetHeuristic)(SwanCublasLt handle, SwanCublasLtMatmulDesc description,
                                              SwanCublasLtLayout a, SwanCublasLtLayout b, SwanCublasLtLayout c,
                                              SwanCublasLtLayout d, SwanCublasLtPreference preference, int32_t wanted,
                                              SwanCublasLtHeuristic *results, int32_t *found);
    int32_t (*cublasLtMatmul)(SwanCublasLt handle, SwanCublasLtMatmulDesc description, const void *alpha, const void *a,
                              SwanCublasLtLayout a_layout, const void *b, SwanCublasLtLayout b_layout, const void *beta,
                              const void *c, SwanCublasLtLayout c_layout, void *d, SwanCublasLtLayout d_layout,
                              const SwanCublasLtAlgorithm *algorithm, void *workspace, size_t workspace_bytes,
                              SwanCUstream stream);
} __attribute__((swift_attr("@Sendable"))) SwanCublasLtTable;

// Opens the library at `path` (libcublasLt.so) and fills the table. Returns NULL, or the name of what is missing:
// `path` itself, or a function. The library stays open until the process ends.
const char *swan_cublaslt_open(const char *path, SwanCublasLtTable *table);

// Attention and convolutions -------------------------------------------------------------------------

// cudnn_graph_v9.h, cuDNN 9.19, cudnnStatus_t.
enum {
    SWAN_CUDNN_STATUS_SUCCESS = 0,
    SWAN_CUDNN_STATUS_ALLOC_FAILED = 4003,
    SWAN_CUDNN_STATUS_NOT_SUPPORTED = 3000,
};

// cudnn_graph_v9.h, cudnnBackendDescriptorType_t.
enum {
    SWAN_CUDNN_BACKEND_POINTWISE_DESCRIPTOR = 0,
    SWAN_CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR = 1,
    SWAN_CUDNN_BACKEND_ENGINECFG_DESCRIPTOR = 3,
    SWAN_CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR = 4,
    SWAN_CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR = 5,
    SWAN_CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR = 10,
    SWAN_CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR = 13,
    SWAN_CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR = 15,
    SWAN_CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR = 16,
    SWAN_CUDNN_BACKEND_TENSOR_DESCRIPTOR = 17,
    SWAN_CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR = 41,
};

// cudnn_graph_v9.h, cudnnBackendAttributeType_t.
enum {
    SWAN_CUDNN_TYPE_HANDLE = 0,
    SWAN_CUDNN_TYPE_DATA_TYPE = 1,
    SWAN_CUDNN_TYPE_BOOLEAN = 2,
    SWAN_CUDNN_TYPE_INT64 = 3,
    SWAN_CUDNN_TYPE_FLOAT = 4,
    SWAN_CUDNN_TYPE_DOUBLE = 5,
    SWAN_CUDNN_TYPE_VOID_PTR = 6,
    SWAN_CUDNN_TYPE_CONVOLUTION_MODE = 7,
    SWAN_CUDNN_TYPE_HEUR_MODE = 8,
    SWAN_CUDNN_TYPE_POINTWISE_MODE = 14,
    SWAN_CUDNN_TYPE_BACKEND_DESCRIPTOR = 15,
};

// cudnn_graph_v9.h, cudnnDataType_t, cudnnConvolutionMode_t, cudnnPointwiseMode_t, cudnnBackendHeurMode_t.
enum {
    SWAN_CUDNN_POINTWISE_ADD = 0,
    SWAN_CUDNN_DATA_FLOAT = 0,
    SWAN_CUDNN_DATA_BFLOAT16 = 9,
    SWAN_CUDNN_CROSS_CORRELATION = 1,
    SWAN_CUDNN_HEUR_MODE_A = 3,
    SWAN_CUDNN_HEUR_MODE_FALLBACK = 2,
};

// cudnn_graph_v9.h, cudnnBackendAttributeName_t.
enum {
    SWAN_CUDNN_ATTR_TENSOR_UNIQUE_ID = 906,
    SWAN_CUDNN_ATTR_TENSOR_DATA_TYPE = 901,
    SWAN_CUDNN_ATTR_TENSOR_DIMENSIONS = 902,
    SWAN_CUDNN_ATTR_TENSOR_STRIDES = 903,
    SWAN_CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT = 900,
    SWAN_CUDNN_ATTR_TENSOR_IS_VIRTUAL = 907,
    SWAN_CUDNN_ATTR_TENSOR_IS_BY_VALUE = 908,
    SWAN_CUDNN_ATTR_POINTWISE_MODE = 0,
    SWAN_CUDNN_ATTR_POINTWISE_MATH_PREC = 1,
    SWAN_CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR = 750,
    SWAN_CUDNN_ATTR_OPERATION_POINTWISE_XDESC = 751,
    SWAN_CUDNN_ATTR_OPERATION_POINTWISE_BDESC = 752,
    SWAN_CUDNN_ATTR_OPERATION_POINTWISE_YDESC = 753,
    SWAN_CUDNN_ATTR_OPERATIONGRAPH_HANDLE = 800,
    SWAN_CUDNN_ATTR_OPERATIONGRAPH_OPS = 801,
    SWAN_CUDNN_ATTR_ENGINEHEUR_MODE = 200,
    SWAN_CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH = 201,
    SWAN_CUDNN_ATTR_ENGINEHEUR_RESULTS = 202,
    SWAN_CUDNN_ATTR_EXECUTION_PLAN_HANDLE = 400,
    SWAN_CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG = 401,
    SWAN_CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE = 402,
    SWAN_CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS = 1000,
    SWAN_CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS = 1001,
    SWAN_CUDNN_ATTR_VARIANT_PACK_WORKSPACE = 1003,
    SWAN_CUDNN_ATTR_CONVOLUTION_COMP_TYPE = 100,
    SWAN_CUDNN_ATTR_CONVOLUTION_CONV_MODE = 101,
    SWAN_CUDNN_ATTR_CONVOLUTION_DILATIONS = 102,
    SWAN_CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES = 103,
    SWAN_CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS = 105,
    SWAN_CUDNN_ATTR_CONVOLUTION_POST_PADDINGS = 104,
    SWAN_CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS = 106,
    SWAN_CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA = 700,
    SWAN_CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA = 701,
    SWAN_CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC = 702,
    SWAN_CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W = 703,
    SWAN_CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X = 704,
    SWAN_CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y = 705,
    SWAN_CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC = 2800,
    SWAN_CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC = 2801,
    SWAN_CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC = 2802,
    SWAN_CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC = 2803,
    SWAN_CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC = 2805,
};

typedef struct SwanCudnnT *SwanCudnn;
typedef void *SwanCudnnDescriptor;

// cudnn_graph_v9.h, cuDNN 9.19.
// The table is filled before anyone sees it and never changes after.
typedef struct {
    size_t (*cudnnGetVersion)(void);
    const char *(*cudnnGetErrorString)(int32_t status);
    void (*cudnnGetLastErrorString)(char *text, size_t bytes);
    int32_t (*cudnnCreate)(SwanCudnn *handle);
    int32_t (*cudnnDestroy)(SwanCudnn handle);
    int32_t (*cudnnSetStream)(SwanCudnn handle, SwanCUstream stream);
    int32_t (*cudnnBackendCreateDescriptor)(int32_t type, SwanCudnnDescriptor *descriptor);
    int32_t (*cudnnBackendDestroyDescriptor)(SwanCudnnDescriptor descriptor);
    int32_t (*cudnnBackendSetAttribute)(SwanCudnnDescriptor descriptor, int32_t name, int32_t type, int64_t count,
                                        const void *values);
    int32_t (*cudnnBackendGetAttribute)(SwanCudnnDescriptor descriptor, int32_t name, int32_t type, int64_t wanted,
                                        int64_t *count, void *values);
    int32_t (*cudnnBackendFinalize)(SwanCudnnDescriptor descriptor);
    int32_t (*cudnnBackendExecute)(SwanCudnn handle, SwanCudnnDescriptor plan, SwanCudnnDescriptor variant_pack);
} __attribute__((swift_attr("@Sendable"))) SwanCudnnTable;

// Opens the library at `path` (libcudnn.so.9) and fills the table. Returns NULL, or the name of what is missing:
// `path` itself, or a function. The library stays open until the process ends.
const char *swan_cudnn_open(const char *path, SwanCudnnTable *table);

#endif
