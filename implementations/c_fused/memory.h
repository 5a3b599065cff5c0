/* Scratch memory, and stores that pass the caches by. */
#ifndef BNBENCH_MEMORY_H
#define BNBENCH_MEMORY_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { CACHE_LINE = 64 };

#ifdef __GNUC__
#define PREFETCH(address) __builtin_prefetch(address)
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
 * read first, and what else is in the cache stays there. `next` and `after` (or NULL) are where as many
 * bytes will be read soon: the memory delivers them meanwhile. Elsewhere than on x86-64 with gcc or clang
 * an ordinary copy. */
void stream(void *restrict to, const void *restrict from, size_t bytes, const void *next, const void *after);

/* After the last stream: what was written is then seen by other threads as usual. */
void stream_end(void);

/* Whether streaming pays for so many bytes, read and written: when they would not stay in the last cache.
 * What the system says of that cache may be what many guests share; this is one guest's usual part. */
int streams(size_t bytes, int are_planes, size_t threads);

#endif
