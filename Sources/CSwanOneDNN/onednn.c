#include "CSwanOneDNN.h"

#if !__has_include(<oneapi/dnnl/dnnl.h>)
#error "oneDNN's headers are needed to build Swan (Debian, Ubuntu: apt install libdnnl-dev)."
#endif

#include <dlfcn.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#if DNNL_VERSION_MAJOR != 2 || DNNL_VERSION_MINOR < 6
#error "oneDNN headers of version 2.6 or a later 2.x are needed (Debian: libdnnl-dev)."
#endif

// The functions that are called, by their official names without the prefix.
#define SWAN_FUNCTIONS(each)         \
    each(engine_create)              \
    each(stream_create)              \
    each(memory_desc_init_by_tag)    \
    each(memory_desc_get_size)       \
    each(memory_desc_equal)          \
    each(memory_create)              \
    each(memory_destroy)             \
    each(convolution_forward_desc_init) \
    each(primitive_attr_create)      \
    each(primitive_attr_destroy)     \
    each(primitive_attr_set_post_ops) \
    each(primitive_attr_set_scratchpad_mode) \
    each(post_ops_create)            \
    each(post_ops_destroy)           \
    each(post_ops_append_sum)        \
    each(primitive_desc_create)      \
    each(primitive_desc_destroy)     \
    each(primitive_desc_query)       \
    each(primitive_desc_query_md)    \
    each(reorder_primitive_desc_create) \
    each(primitive_create)           \
    each(primitive_destroy)          \
    each(primitive_execute)          \
    each(memory_set_data_handle)     \
    each(version)

struct SwanOneDNN {
#define SWAN_POINTER(name) __typeof__(dnnl_##name) *name;
    SWAN_FUNCTIONS(SWAN_POINTER)
#undef SWAN_POINTER
    // libgomp, "GNU Offloading and Multi Processing Runtime Library", "The libgomp ABI":
    // void GOMP_parallel(void (*fn)(void *), void *data, unsigned num_threads, unsigned flags)
    void (*GOMP_parallel)(void (*)(void *), void *, unsigned, unsigned);
    int (*omp_get_max_threads)(void);
    int (*omp_get_thread_num)(void);
    dnnl_engine_t engine;
    dnnl_stream_t stream;
};

const char *swan_onednn_open(const SwanOneDNN **library, int32_t version[3]) {
    static SwanOneDNN table;
    // libgomp's threads wait in a loop for their next piece of work, some milliseconds long unless told
    // otherwise. That is time taken from every other program, and from our own threads when there are
    // more of them than cores; a twentieth of a millisecond covers the gap between two operations. The
    // variable is read when the library is loaded, so it is set around that, unless the user has spoken.
    // This runs once, when the first device is opened; no other thread of Swan reads the environment then.
    int spins = !getenv("GOMP_SPINCOUNT") && !getenv("OMP_WAIT_POLICY");
    if (spins) setenv("GOMP_SPINCOUNT", "20000", 0);
    void *handle = dlopen("libdnnl.so.2", RTLD_NOW | RTLD_LOCAL);
    if (spins) unsetenv("GOMP_SPINCOUNT");
    if (!handle) return "libdnnl.so.2";

    table.version = (__typeof__(table.version))dlsym(handle, "dnnl_version");
    if (!table.version) return "dnnl_version";
    const dnnl_version_t *found = table.version();
    version[0] = found->major;
    version[1] = found->minor;
    version[2] = found->patch;
    if (found->major != 2 || found->minor < 6) return "version";
    if (found->cpu_runtime != DNNL_RUNTIME_OMP) return "OpenMP";

#define SWAN_FIND(name)                                                    \
    table.name = (__typeof__(table.name))dlsym(handle, "dnnl_" #name); \
    if (!table.name) return "dnnl_" #name;
    SWAN_FUNCTIONS(SWAN_FIND)
#undef SWAN_FIND
    // Looked up through oneDNN's handle, which finds the very runtime that oneDNN is linked with.
#define SWAN_FIND(name)                                           \
    table.name = (__typeof__(table.name))dlsym(handle, #name); \
    if (!table.name) return #name;
    SWAN_FIND(GOMP_parallel)
    SWAN_FIND(omp_get_max_threads)
    SWAN_FIND(omp_get_thread_num)
#undef SWAN_FIND
    if (table.engine_create(&table.engine, dnnl_cpu, 0)) return "dnnl_engine_create";
    if (table.stream_create(&table.stream, table.engine, dnnl_stream_in_order)) return "dnnl_stream_create";
    *library = &table;
    return NULL;
}

int32_t swan_threads(const SwanOneDNN *library) { return library->omp_get_max_threads(); }

typedef struct {
    const SwanOneDNN *library;
    void (*body)(void *, ptrdiff_t, int32_t);
    void *context;
    ptrdiff_t count;
    atomic_ptrdiff_t next;
} Region;

static void region(void *argument) {
    Region *r = argument;
    int32_t thread = r->library->omp_get_thread_num();
    for (;;) {
        ptrdiff_t index = atomic_fetch_add_explicit(&r->next, 1, memory_order_relaxed);
        if (index >= r->count) return;
        r->body(r->context, index, thread);
    }
}

void swan_parallel(const SwanOneDNN *library, ptrdiff_t count, void (*body)(void *, ptrdiff_t, int32_t),
                   void *context) {
    Region r = {library, body, context, count, 0};
    if (count <= 1) {
        for (ptrdiff_t index = 0; index < count; index++) body(context, index, 0);
        return;
    }
    int threads = library->omp_get_max_threads();
    library->GOMP_parallel(region, &r, count < threads ? (unsigned)count : (unsigned)threads, 0);
}

struct SwanConvolution {
    dnnl_primitive_desc_t description;
    dnnl_primitive_t primitive;
    dnnl_memory_desc_t plain;  // the weights' layout in a checkpoint
    dnnl_memory_t x, bias, y, weights, scratch;
};

static const dnnl_memory_desc_t *layout(const SwanOneDNN *d, const SwanConvolution *c, dnnl_query_t what, int index) {
    return d->primitive_desc_query_md(c->description, what, index);
}

// The code's description, or oneDNN's status. Code that is only a plain loop is refused.
static dnnl_status_t describe(const SwanOneDNN *d, const SwanConvolutionShape *s, const SwanConvolution *like,
                              SwanConvolution *c) {
    enum { rank = 5 };
    dnnl_dims_t x = {1, s->inputs, s->frames, s->height, s->width}, bias = {s->outputs};
    dnnl_dims_t y = {1, s->outputs, s->outFrames, s->outHeight, s->outWidth};
    dnnl_dims_t w = {s->outputs, s->inputs, s->kernelFrames, s->kernelHeight, s->kernelWidth};
    dnnl_dims_t strides = {s->frameStride, s->stride, s->stride};
    dnnl_dims_t before = {0, s->top, s->left}, after = {0, s->bottom, s->right};
    dnnl_memory_desc_t xLayout, wLayout, biasLayout, yLayout;
    dnnl_status_t status = d->memory_desc_init_by_tag(&xLayout, rank, x, dnnl_f32, dnnl_ndhwc);
    if (!status) status = d->memory_desc_init_by_tag(&yLayout, rank, y, dnnl_f32, dnnl_ndhwc);
    if (!status) status = d->memory_desc_init_by_tag(&biasLayout, 1, bias, dnnl_f32, dnnl_a);
    if (!status) status = d->memory_desc_init_by_tag(&c->plain, rank, w, dnnl_f32, dnnl_oidhw);
    if (!status) status = d->memory_desc_init_by_tag(&wLayout, rank, w, dnnl_f32, dnnl_format_tag_any);
    if (status) return status;
    if (like) wLayout = *layout(d, like, dnnl_query_weights_md, 0);

    dnnl_convolution_desc_t convolution;
    status = d->convolution_forward_desc_init(&convolution, dnnl_forward_inference, dnnl_convolution_direct, &xLayout,
                                              &wLayout, &biasLayout, &yLayout, strides, before, after);
    if (status) return status;
    dnnl_primitive_attr_t attributes;
    dnnl_post_ops_t sum;
    if ((status = d->primitive_attr_create(&attributes))) return status;
    // The caller lends scratch memory, so that all convolutions share one piece.
    status = d->primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user);
    if (!status && s->accumulates && !(status = d->post_ops_create(&sum))) {
        status = d->post_ops_append_sum(sum, 1);
        if (!status) status = d->primitive_attr_set_post_ops(attributes, sum);
        d->post_ops_destroy(sum);
    }
    if (!status) status = d->primitive_desc_create(&c->description, &convolution, attributes, d->engine, NULL);
    d->primitive_attr_destroy(attributes);
    if (!status && like && !strncmp(swan_convolution_implementation(d, c), "ref", 3)) return dnnl_unimplemented;
    return status;
}

static dnnl_status_t prepare(const SwanOneDNN *d, SwanConvolution *c) {
    static const struct {
        dnnl_query_t what;
        int index;
        size_t place;
    } parts[] = {
        {dnnl_query_src_md, 0, offsetof(SwanConvolution, x)},
        {dnnl_query_weights_md, 0, offsetof(SwanConvolution, weights)},
        {dnnl_query_weights_md, 1, offsetof(SwanConvolution, bias)},
        {dnnl_query_dst_md, 0, offsetof(SwanConvolution, y)},
        {dnnl_query_scratchpad_md, 0, offsetof(SwanConvolution, scratch)},
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        dnnl_memory_t *memory = (dnnl_memory_t *)((char *)c + parts[i].place);
        dnnl_status_t status =
            d->memory_create(memory, layout(d, c, parts[i].what, parts[i].index), d->engine, DNNL_MEMORY_NONE);
        if (status) return status;
    }
    return d->primitive_create(&c->primitive, c->description);
}

int32_t swan_convolution_create(const SwanOneDNN *library, const SwanConvolutionShape *shape,
                                const SwanConvolution *like, SwanConvolution **convolution) {
    SwanConvolution *c = calloc(1, sizeof *c);
    if (!c) return dnnl_out_of_memory;
    dnnl_status_t status = describe(library, shape, like, c);
    if (!status) status = prepare(library, c);
    if (status) {
        swan_convolution_destroy(library, c);
        return status;
    }
    *convolution = c;
    return dnnl_success;
}

void swan_convolution_destroy(const SwanOneDNN *d, SwanConvolution *c) {
    dnnl_memory_t memories[] = {c->x, c->bias, c->y, c->weights, c->scratch};
    for (size_t i = 0; i < sizeof memories / sizeof *memories; i++)
        if (memories[i]) d->memory_destroy(memories[i]);
    if (c->primitive) d->primitive_destroy(c->primitive);
    if (c->description) d->primitive_desc_destroy(c->description);
    free(c);
}

const char *swan_convolution_implementation(const SwanOneDNN *library, const SwanConvolution *c) {
    const char *name = NULL;
    library->primitive_desc_query(c->description, dnnl_query_impl_info_str, 0, &name);
    return name ? name : "";
}

size_t swan_convolution_weight_bytes(const SwanOneDNN *library, const SwanConvolution *c) {
    return library->memory_desc_get_size(layout(library, c, dnnl_query_weights_md, 0));
}

size_t swan_convolution_scratch_bytes(const SwanOneDNN *library, const SwanConvolution *c) {
    return library->memory_desc_get_size(layout(library, c, dnnl_query_scratchpad_md, 0));
}

bool swan_convolution_same_weights(const SwanOneDNN *library, const SwanConvolution *a, const SwanConvolution *b) {
    return library->memory_desc_equal(layout(library, a, dnnl_query_weights_md, 0),
                                      layout(library, b, dnnl_query_weights_md, 0));
}

int32_t swan_convolution_pack(const SwanOneDNN *d, const SwanConvolution *c, const SwanConvolution *from,
                              const float *source, float *target) {
    const dnnl_memory_desc_t *sourceLayout = from ? layout(d, from, dnnl_query_weights_md, 0) : &c->plain;
    dnnl_primitive_desc_t description = NULL;
    dnnl_primitive_t reorder = NULL;
    dnnl_memory_t memory = NULL;
    dnnl_status_t status = d->reorder_primitive_desc_create(
        &description, sourceLayout, d->engine, layout(d, c, dnnl_query_weights_md, 0), d->engine, NULL);
    if (!status) status = d->primitive_create(&reorder, description);
    // The source is only read.
    if (!status) status = d->memory_create(&memory, sourceLayout, d->engine, (void *)source);
    if (!status) status = d->memory_set_data_handle(c->weights, target);
    if (!status) {
        dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, memory}, {DNNL_ARG_TO, c->weights}};
        status = d->primitive_execute(reorder, d->stream, 2, arguments);
    }
    if (memory) d->memory_destroy(memory);
    if (reorder) d->primitive_destroy(reorder);
    if (description) d->primitive_desc_destroy(description);
    return status;
}

int32_t swan_convolution_run(const SwanOneDNN *d, const SwanConvolution *c, const float *x, const float *weights,
                             const float *bias, float *y, void *scratch) {
    // Inputs are only read; oneDNN's memories know no such thing.
    const struct {
        dnnl_memory_t memory;
        int argument;
        void *data;
    } all[] = {
        {c->x, DNNL_ARG_SRC, (void *)x},
        {c->weights, DNNL_ARG_WEIGHTS, (void *)weights},
        {c->bias, DNNL_ARG_BIAS, (void *)bias},
        {c->y, DNNL_ARG_DST, y},
        {c->scratch, DNNL_ARG_SCRATCHPAD, scratch},
    };
    enum { count = sizeof all / sizeof *all };
    dnnl_exec_arg_t arguments[count];
    for (int i = 0; i < count; i++) {
        dnnl_status_t status = d->memory_set_data_handle(all[i].memory, all[i].data);
        if (status) return status;
        arguments[i] = (dnnl_exec_arg_t){all[i].argument, all[i].memory};
    }
    return d->primitive_execute(c->primitive, d->stream, count, arguments);
}
