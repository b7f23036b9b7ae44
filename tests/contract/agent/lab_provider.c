/*
 * The smallest provider that really runs nodes: it takes each Relu and Add of float tensors, alone, and computes it.
 *
 * No package brings onnxruntime's headers, so the few functions that it calls stand here with their places in the tables
 * of version 23 of the C API, which newer versions keep and add to.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define API_VERSION 23
#define MOST_NODES 64
#define MOST_DIMENSIONS 16
#define FLOAT_TENSOR 1

typedef void *Status; /* NULL is success */
typedef void (*Entry)(void);

/* Places in OrtApi. */
enum {
    CREATE_STATUS = 0, TENSOR_DATA = 51, AS_TENSOR_INFO = 55, ELEMENT_TYPE = 60, DIMENSIONS_COUNT = 61, DIMENSIONS = 62,
    ELEMENT_COUNT = 64, TYPE_AND_SHAPE = 65, INPUT_COUNT = 88, GET_INPUT = 90, GET_OUTPUT = 91, RELEASE_TYPE_AND_SHAPE = 99,
    VALUE_TYPE = 290, EP_API = 317, NODE_COUNT = 344, GET_NODES = 345, OPERATOR_TYPE = 350, NODE_INPUTS = 354,
};
/* Places in OrtEpApi. */
enum { CREATE_EP_DEVICE = 0, ADD_NODES_TO_FUSE = 2 };

static const Entry *ort, *ep_api;
static char provider_name[128];

#define TRY(call) do { Status status = (call); if (status) return status; } while (0)

static Status fail(const char *words) { return ((Status(*)(int, const char *))ort[CREATE_STATUS])(11, words); }

/* What computes a node: OrtNodeComputeInfo, followed by our own. */
typedef struct Kernel {
    uint32_t version;
    Status (*create_state)(struct Kernel *, void *, void **);
    Status (*compute)(struct Kernel *, void *, void *);
    void (*release_state)(struct Kernel *, void *);
    bool adds;
} Kernel;

static Status create_state(Kernel *kernel, void *context, void **state)
{
    (void)context;
    *state = kernel;
    return NULL;
}

static void release_state(Kernel *kernel, void *state) { (void)kernel, (void)state; }

static Status input_of(void *context, size_t place, const float **data, int64_t *sizes, size_t *rank, size_t *count)
{
    const void *value;
    void *shape;
    TRY(((Status(*)(void *, size_t, const void **))ort[GET_INPUT])(context, place, &value));
    TRY(((Status(*)(const void *, void **))ort[TYPE_AND_SHAPE])(value, &shape));
    TRY(((Status(*)(void *, size_t *))ort[DIMENSIONS_COUNT])(shape, rank));
    if (*rank > MOST_DIMENSIONS)
        return fail("more dimensions than this provider takes");
    TRY(((Status(*)(void *, int64_t *, size_t))ort[DIMENSIONS])(shape, sizes, *rank));
    TRY(((Status(*)(void *, size_t *))ort[ELEMENT_COUNT])(shape, count));
    ((void (*)(void *))ort[RELEASE_TYPE_AND_SHAPE])(shape);
    return ((Status(*)(const void *, const float **))ort[TENSOR_DATA])(value, data);
}

static Status compute(Kernel *kernel, void *state, void *context)
{
    const float *left, *right;
    float *out;
    void *value;
    int64_t sizes[MOST_DIMENSIONS], others[MOST_DIMENSIONS];
    size_t rank, count, inputs, other_rank, other_count;
    (void)state;
    TRY(((Status(*)(void *, size_t *))ort[INPUT_COUNT])(context, &inputs));
    TRY(input_of(context, 0, &left, sizes, &rank, &count));
    TRY(input_of(context, inputs - 1, &right, others, &other_rank, &other_count));
    if (other_count != count)
        return fail("this provider adds equal shapes only");
    TRY(((Status(*)(void *, size_t, const int64_t *, size_t, void **))ort[GET_OUTPUT])(context, 0, sizes, rank, &value));
    TRY(((Status(*)(void *, float **))ort[TENSOR_DATA])(value, &out));
    for (size_t i = 0; i < count; i++)
        out[i] = kernel->adds ? left[i] + right[i] : left[i] > 0 ? left[i] : 0;
    return NULL;
}

/* OrtEp as of version 23; what is NULL is left to onnxruntime. */
typedef struct Ep {
    uint32_t version;
    const char *(*name)(const struct Ep *);
    Status (*capability)(struct Ep *, const void *, void *);
    Status (*compile)(struct Ep *, const void **, const void **, size_t, Kernel **, void **);
    void (*release_kernels)(struct Ep *, Kernel **, size_t);
    Entry rest[8];
} Ep;

static const char *ep_name(const Ep *ep)
{
    (void)ep;
    return provider_name;
}

static bool takes(const void *node)
{
    const char *operator = NULL;
    const void *inputs[2] = {NULL, NULL}, *type, *tensor = NULL;
    int element = 0;
    ((Status(*)(const void *, const char **))ort[OPERATOR_TYPE])(node, &operator);
    size_t wanted = strcmp(operator, "Add") == 0 ? 2 : strcmp(operator, "Relu") == 0 ? 1 : 0;
    if (!wanted || ((Status(*)(const void *, const void **, size_t))ort[NODE_INPUTS])(node, inputs, wanted))
        return false;
    if (((Status(*)(const void *, const void **))ort[VALUE_TYPE])(inputs[0], &type) ||
        ((Status(*)(const void *, const void **))ort[AS_TENSOR_INFO])(type, &tensor) || !tensor)
        return false;
    return !((Status(*)(const void *, int *))ort[ELEMENT_TYPE])(tensor, &element) && element == FLOAT_TENSOR;
}

static Status capability(Ep *ep, const void *graph, void *support)
{
    const void *nodes[MOST_NODES];
    size_t count;
    (void)ep;
    TRY(((Status(*)(const void *, size_t *))ort[NODE_COUNT])(graph, &count));
    if (count > MOST_NODES)
        return NULL;
    TRY(((Status(*)(const void *, const void **, size_t))ort[GET_NODES])(graph, nodes, count));
    for (size_t i = 0; i < count; i++)
        if (takes(nodes[i]))
            TRY(((Status(*)(void *, const void **, size_t, void *))ep_api[ADD_NODES_TO_FUSE])(support, &nodes[i], 1, NULL));
    return NULL;
}

static Status compile(Ep *ep, const void **graphs, const void **fused, size_t count, Kernel **kernels, void **contexts)
{
    (void)ep, (void)fused, (void)contexts;
    for (size_t i = 0; i < count; i++) {
        const void *node;
        const char *operator;
        TRY(((Status(*)(const void *, const void **, size_t))ort[GET_NODES])(graphs[i], &node, 1));
        TRY(((Status(*)(const void *, const char **))ort[OPERATOR_TYPE])(node, &operator));
        kernels[i] = malloc(sizeof(Kernel));
        *kernels[i] = (Kernel){API_VERSION, create_state, compute, release_state, strcmp(operator, "Add") == 0};
    }
    return NULL;
}

static void release_kernels(Ep *ep, Kernel **kernels, size_t count)
{
    (void)ep;
    for (size_t i = 0; i < count; i++)
        free(kernels[i]);
}

/* OrtEpFactory as of version 23. */
typedef struct Factory {
    uint32_t version;
    const char *(*name)(const struct Factory *);
    const char *(*vendor)(const struct Factory *);
    Status (*devices)(struct Factory *, const void *const *, size_t, void **, size_t, size_t *);
    Status (*create)(struct Factory *, const void *const *, const void *const *, size_t, const void *, const void *, Ep **);
    void (*release)(struct Factory *, Ep *);
    uint32_t (*vendor_id)(const struct Factory *);
    const char *(*version_text)(const struct Factory *);
    Entry validate, create_allocator, release_allocator;
    Status (*data_transfer)(struct Factory *, void **);
    bool (*stream_aware)(const struct Factory *);
    Entry create_stream;
} Factory;

static const char *factory_name(const Factory *factory)
{
    (void)factory;
    return provider_name;
}

static const char *vendor(const Factory *factory)
{
    (void)factory;
    return "Lab";
}

static uint32_t vendor_id(const Factory *factory)
{
    (void)factory;
    return 0;
}

static const char *version_text(const Factory *factory)
{
    (void)factory;
    return "1.0.0";
}

static Status devices(Factory *factory, const void *const *hardware, size_t count, void **found, size_t most, size_t *number)
{
    *number = 0;
    if (count == 0 || most == 0)
        return NULL;
    TRY(((Status(*)(Factory *, const void *, void *, void *, void **))ep_api[CREATE_EP_DEVICE])(
        factory, hardware[0], NULL, NULL, found));
    *number = 1;
    return NULL;
}

static Status create(Factory *factory, const void *const *hardware, const void *const *metadata, size_t count,
                     const void *options, const void *logger, Ep **ep)
{
    (void)factory, (void)hardware, (void)metadata, (void)count, (void)options, (void)logger;
    *ep = calloc(1, sizeof(Ep));
    **ep = (Ep){.version = API_VERSION, .name = ep_name, .capability = capability, .compile = compile,
                .release_kernels = release_kernels};
    return NULL;
}

static void release(Factory *factory, Ep *ep)
{
    (void)factory;
    free(ep);
}

static Status data_transfer(Factory *factory, void **transfer)
{
    (void)factory;
    *transfer = NULL; /* its memory is the processor's */
    return NULL;
}

static bool stream_aware(const Factory *factory)
{
    (void)factory;
    return false;
}

static Factory the_factory = {
    .version = API_VERSION, .name = factory_name, .vendor = vendor, .devices = devices, .create = create,
    .release = release, .vendor_id = vendor_id, .version_text = version_text, .data_transfer = data_transfer,
    .stream_aware = stream_aware,
};

Status CreateEpFactories(const char *name, const void *base, const void *logger, void **factories, size_t most, size_t *count)
{
    (void)logger, (void)most;
    ort = (*(const Entry *(*const *)(uint32_t))base)(API_VERSION);
    ep_api = ((const Entry *(*)(void))ort[EP_API])();
    strncpy(provider_name, name, sizeof provider_name - 1);
    factories[0] = &the_factory;
    *count = 1;
    return NULL;
}

Status ReleaseEpFactory(void *factory)
{
    (void)factory;
    return NULL;
}
