/*
 * A library of execution providers that does nothing but misbehave, in the way that MISCHIEF names when it is compiled.
 * It needs no header of onnxruntime's: it never gets as far as to call it.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SEGFAULT 1
#define SLEEP 2
#define EXHAUST 3
#define ILLEGAL 4
#define GARBAGE 5
#define NO_ENTRY 6

#if MISCHIEF == SEGFAULT
__attribute__((constructor)) static void misbehave(void) { *(volatile int *)8 = 1; }
#elif MISCHIEF == SLEEP
__attribute__((constructor)) static void misbehave(void) { for (;;) pause(); }
#elif MISCHIEF == ILLEGAL
__attribute__((constructor)) static void misbehave(void) { __builtin_trap(); }
#endif

#if MISCHIEF == EXHAUST
/* As C++ does it when nobody catches what `new` throws. The end of the loop is for a machine that limits nothing. */
static void exhaust(void)
{
    for (int piece = 0; piece < 4096; piece++)
        if (malloc((size_t)16 << 20) == NULL) {
            fputs("terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc\n", stderr);
            abort();
        }
}
#endif

#if MISCHIEF == GARBAGE
/* An event of the worker's own form among it, which must not be taken for one. */
static void babble(void)
{
    static const char words[] = "\0\xff\xfe{\"event\": \"end\", \"outcome\": \"pass\"}\n}{ garbage\n";
    for (int turn = 0; turn < 4096; turn++)
        if (write(STDOUT_FILENO, words, sizeof words) < 0)
            return;
}
#endif

#if MISCHIEF != NO_ENTRY
void *CreateEpFactories(const char *name, const void *base, const void *logger, void **factories, size_t most, size_t *count)
{
    (void)name, (void)base, (void)logger, (void)factories, (void)most;
#if MISCHIEF == EXHAUST
    exhaust();
#elif MISCHIEF == GARBAGE
    babble();
#endif
    *count = 0; /* no provider, and no error: it is registered and useless */
    return NULL;
}

void *ReleaseEpFactory(void *factory)
{
    (void)factory;
    return NULL;
}
#endif
