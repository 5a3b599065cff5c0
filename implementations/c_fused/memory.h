/* Scratch memory, and stores that pass the caches by. */
#ifndef BNBENCH_MEMORY_H
#define BNBENCH_MEMORY_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#ifndef STREAMED_BYTES
#define STREAMED_BYTES (24<<20)
#endif
enum {
    CACHE_LINE = 64,
};

#ifdef __GNUC__
#ifdef NOPF
#define PREFETCH(a) ((void)(a))
#else
#define PREFETCH(address) __builtin_prefetch(address)
#endif
#else
#define PREFETCH(address) ((void)(address))
#endif

static inline size_t min_size(size_t a, size_t b) { return a < b ? a : b; }

/* One allocation, handed out in pieces that start at cache lines. */
typedef struct {
    char *block, *next;
} bn_scratch;

static inline size_t padded(size_t bytes) { return (bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE; }

static inline int scratch_open(bn_scratch *scratch, size_t bytes)
{
    scratch->block = malloc(bytes + CACHE_LINE);
    scratch->next = (char *)padded((uintptr_t)scratch->block);
    return scratch->block == NULL ? -1 : 0;
}

static inline void *scratch_take(bn_scratch *scratch, size_t bytes)
{
    void *piece = scratch->next;
    scratch->next += padded(bytes);
    return piece;
}

/* Copy to memory without taking the destination's cache lines in: what is written whole need not be
 * read first, and what else is in the cache stays there. Lines that are not written whole, at either
 * end, are copied as usual. `next` and `after` (or NULL) are where as many bytes will be read soon: that
 * the memory delivers them meanwhile saves a quarter of the time. Where the compiler has no such stores,
 * all of it is an ordinary copy. */
static inline void stream(void *restrict to, const void *restrict from, size_t bytes, const void *next,
                          const void *after)
{
#ifdef __SSE2__
    char *target = to;
    const char *source = from;
    const size_t head = min_size(bytes, -(uintptr_t)target % CACHE_LINE);
    memcpy(target, source, head);
    size_t i = head;
    for (; i + CACHE_LINE <= bytes; i += CACHE_LINE) {
        if (next != NULL)
            PREFETCH((const char *)next + i);
        if (after != NULL)
            PREFETCH((const char *)after + i);
        for (size_t j = i; j < i + CACHE_LINE; j += sizeof(__m128i))
            _mm_stream_si128((__m128i *)(target + j), _mm_loadu_si128((const __m128i *)(source + j)));
    }
    memcpy(target + i, source + i, bytes - i);
#else
    (void)next, (void)after;
    memcpy(to, from, bytes);
#endif
}

/* After the last stream: what was written is then seen by other threads as usual. */
static inline void stream_end(void)
{
#ifdef __SSE2__
    _mm_sfence();
#endif
}

/* Whether streaming pays: when what is read and written would not stay in the last cache. */
static inline int streams(size_t bytes)
{
#ifdef __SSE2__
    return bytes > STREAMED_BYTES;
#else
    (void)bytes;
    return 0;
#endif
}

#endif
