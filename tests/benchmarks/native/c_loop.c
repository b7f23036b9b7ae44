/* The least that calling a model can cost: a loop around OrtApi's Run with inputs and outputs made beforehand.
 *
 * usage: c_loop LIBRARY MODEL THREADS in:NAME:DIMxDIM:FILE ... out:NAME:DIMxDIM: ...
 *
 * LIBRARY is the libonnxruntime.so of a wheel. All tensors are float32, a FILE holds the raw numbers. Once the first run is
 * done it says "ready VERSION"; then orders come on stdin, a line each:
 *
 *   block NANOSECONDS BATCH   calls until that time is over; answers "COUNT SWITCHES" and COUNT int64 samples in ns, each
 *                             of BATCH calls; SWITCHES is how often the process lost its CPU meanwhile
 *   outputs                   answers the number of bytes and the bytes of all outputs, one after the other
 *
 * A wheel has no header. OrtApi is a table of function pointers that only ever grows at its end, so the few slots used
 * here are declared by their number.
 */
#define _DEFAULT_SOURCE
#include <dlfcn.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum {
    GET_ERROR_MESSAGE = 2,
    CREATE_ENV = 3,
    CREATE_SESSION = 7,
    RUN = 9,
    CREATE_SESSION_OPTIONS = 10,
    SET_GRAPH_OPTIMIZATION_LEVEL = 23,
    SET_INTRA_OP_NUM_THREADS = 24,
    SET_INTER_OP_NUM_THREADS = 25,
    CREATE_RUN_OPTIONS = 39,
    CREATE_TENSOR_WITH_DATA = 49,
    CREATE_CPU_MEMORY_INFO = 69,
};

/* The oldest version of the table that has all of them and that every supported wheel gives out. */
enum { API_VERSION = 16 };

enum { LOG_ERRORS = 3, OPTIMISE_ALL = 99, DEVICE_ALLOCATOR = 0, MEMORY_DEFAULT = 0, FLOAT32 = 1 };
enum { MOST_TENSORS = 16, MOST_DIMENSIONS = 8, MOST_SAMPLES = 1 << 20, ALIGNMENT = 64 };

typedef void *Status; /* NULL is success */
typedef void (*Function)(void);

struct api_base {
    const Function *(*get_api)(uint32_t version);
    const char *(*get_version)(void);
};

typedef const char *(*GetErrorMessage)(Status status);
typedef Status (*CreateEnv)(int level, const char *id, void **env);
typedef Status (*Create)(void **made);
typedef Status (*SetNumber)(void *options, int number);
typedef Status (*CreateSession)(void *env, const char *path, const void *options, void **session);
typedef Status (*CreateMemoryInfo)(int allocator, int memory, void **info);
typedef Status (*CreateTensor)(const void *info, void *data, size_t size, const int64_t *shape, size_t dimensions, int type,
                               void **value);
typedef Status (*Run)(void *session, const void *options, const char *const *input_names, const void *const *inputs,
                      size_t input_count, const char *const *output_names, size_t output_count, void **outputs);

struct tensors {
    const char *names[MOST_TENSORS];
    void *values[MOST_TENSORS];
    void *data[MOST_TENSORS];
    size_t sizes[MOST_TENSORS];
    size_t count;
};

static const Function *api;
static struct tensors inputs, outputs;
static int64_t samples[MOST_SAMPLES];

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "c_loop: %s: %s\n", what, why);
    exit(1);
}

static void check(const char *what, Status status)
{
    if (status != NULL)
        fail(what, ((GetErrorMessage)api[GET_ERROR_MESSAGE])(status));
}

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static long switches(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_nivcsw;
}

/* Takes one argument apart: in:NAME:DIMxDIM:FILE or out:NAME:DIMxDIM: */
static void add_tensor(char *word, const void *memory)
{
    struct tensors *all = strncmp(word, "in:", 3) == 0 ? &inputs : &outputs;
    int64_t shape[MOST_DIMENSIONS];
    size_t dimensions = 0, size = sizeof(float), index = all->count;
    char *rest = strchr(word, ':') + 1;
    char *name = strsep(&rest, ":");
    char *sizes = strsep(&rest, ":");

    if (rest == NULL || index == MOST_TENSORS)
        fail(word, "is no tensor, or one too many");
    for (char *number; (number = strsep(&sizes, "x")) != NULL;) {
        if (dimensions == MOST_DIMENSIONS)
            fail(name, "has too many dimensions");
        shape[dimensions] = atoll(number);
        size *= (size_t)shape[dimensions++];
    }
    all->names[index] = name;
    all->sizes[index] = size;
    all->data[index] = aligned_alloc(ALIGNMENT, (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
    if (all->data[index] == NULL)
        fail(name, "there is no memory for it");
    memset(all->data[index], 0, size);
    if (all == &inputs) {
        FILE *file = fopen(rest, "rb");
        if (file == NULL || fread(all->data[index], 1, size, file) != size)
            fail(rest, "cannot be read, or is too short");
        fclose(file);
    }
    check("CreateTensorWithDataAsOrtValue",
          ((CreateTensor)api[CREATE_TENSOR_WITH_DATA])(memory, all->data[index], size, shape, dimensions, FLOAT32,
                                                       &all->values[index]));
    all->count++;
}

static void time_block(void *session, const void *options, int64_t duration, int64_t batch)
{
    Run run = (Run)api[RUN];
    const void *const *given = (const void *const *)inputs.values;
    long before = switches();
    int64_t count = 0, start = now(), begin, end;

    do {
        begin = now();
        for (int64_t call = 0; call < batch; call++)
            check("Run", run(session, options, inputs.names, given, inputs.count, outputs.names, outputs.count,
                             outputs.values));
        end = now();
        samples[count++] = end - begin;
    } while (end - start < duration && count < MOST_SAMPLES);
    printf("%" PRId64 " %ld\n", count, switches() - before);
    fwrite(samples, sizeof samples[0], (size_t)count, stdout);
}

static void write_outputs(void)
{
    size_t total = 0;
    for (size_t index = 0; index < outputs.count; index++)
        total += outputs.sizes[index];
    printf("%zu\n", total);
    for (size_t index = 0; index < outputs.count; index++)
        fwrite(outputs.data[index], 1, outputs.sizes[index], stdout);
}

static void *open_session(const char *path, int threads)
{
    void *env, *options, *session;

    check("CreateEnv", ((CreateEnv)api[CREATE_ENV])(LOG_ERRORS, "c_loop", &env));
    check("CreateSessionOptions", ((Create)api[CREATE_SESSION_OPTIONS])(&options));
    check("SetIntraOpNumThreads", ((SetNumber)api[SET_INTRA_OP_NUM_THREADS])(options, threads));
    check("SetInterOpNumThreads", ((SetNumber)api[SET_INTER_OP_NUM_THREADS])(options, 1));
    check("SetSessionGraphOptimizationLevel", ((SetNumber)api[SET_GRAPH_OPTIMIZATION_LEVEL])(options, OPTIMISE_ALL));
    check("CreateSession", ((CreateSession)api[CREATE_SESSION])(env, path, options, &session));
    return session;
}

int main(int count, char **words)
{
    void *library, *session, *options, *memory;
    const struct api_base *(*get_base)(void);
    char order[128];

    if (count < 6)
        fail("usage", "c_loop LIBRARY MODEL THREADS in:NAME:DIMxDIM:FILE ... out:NAME:DIMxDIM: ...");
    library = dlopen(words[1], RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        fail("dlopen", dlerror());
    *(void **)&get_base = dlsym(library, "OrtGetApiBase");
    if (get_base == NULL)
        fail(words[1], "does not export OrtGetApiBase");
    api = get_base()->get_api(API_VERSION);
    if (api == NULL)
        fail(words[1], "is too old: it has no version 16 of the API");
    session = open_session(words[2], atoi(words[3]));
    check("CreateRunOptions", ((Create)api[CREATE_RUN_OPTIONS])(&options));
    check("CreateCpuMemoryInfo",
          ((CreateMemoryInfo)api[CREATE_CPU_MEMORY_INFO])(DEVICE_ALLOCATOR, MEMORY_DEFAULT, &memory));
    for (int index = 4; index < count; index++)
        add_tensor(words[index], memory);
    check("Run", ((Run)api[RUN])(session, options, inputs.names, (const void *const *)inputs.values, inputs.count,
                                 outputs.names, outputs.count, outputs.values));
    printf("ready %s\n", get_base()->get_version());
    fflush(stdout);
    while (fgets(order, sizeof order, stdin) != NULL) {
        int64_t duration, batch;
        if (sscanf(order, "block %" SCNd64 " %" SCNd64, &duration, &batch) == 2)
            time_block(session, options, duration, batch);
        else if (strcmp(order, "outputs\n") == 0)
            write_outputs();
        else
            fail(order, "is no order");
        fflush(stdout);
    }
    return 0;
}
