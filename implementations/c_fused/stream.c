/* Stores past the caches, in the widest pieces that the CPU has: a whole cache line at once is a quarter
 * faster than four pieces of it. */
#include "memory.h"

/* Of what is read and written, by one thread and by several, which fill the last cache faster than the memory. Lines
 * have coefficients to read besides, and fall behind long before the cache is full. */
#define STREAMED_LINES ((size_t)16 << 20)
#define STREAMED_PLANES ((size_t)24 << 20)
#define STREAMED_BY_MORE ((size_t)40 << 20)

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

/* Whole cache lines, as stream() has them. */
typedef void stream_lines(char *to, const char *from, size_t bytes, const char *next, const char *after);

#define STREAM_LINES(name, level, type, load, store)                                                                   \
    __attribute__((target(level))) static void name(char *to, const char *from, size_t bytes, const char *next,        \
                                                    const char *after)                                                 \
    {                                                                                                                  \
        for (size_t i = 0; i < bytes; i += CACHE_LINE) {                                                               \
            if (next != NULL)                                                                                          \
                PREFETCH(next + i);                                                                                    \
            if (after != NULL)                                                                                         \
                PREFETCH(after + i);                                                                                   \
            for (size_t j = i; j < i + CACHE_LINE; j += sizeof(type))                                                  \
                store((void *)(to + j), load((const void *)(from + j)));                                               \
        }                                                                                                              \
    }

STREAM_LINES(stream_128, "sse2", __m128i, _mm_loadu_si128, _mm_stream_si128)
STREAM_LINES(stream_256, "avx", __m256i, _mm256_loadu_si256, _mm256_stream_si256)
STREAM_LINES(stream_512, "avx512f", __m512i, _mm512_loadu_si512, _mm512_stream_si512)

void stream(void *restrict to, const void *restrict from, size_t bytes, const void *next, const void *after)
{
    char *target = to;
    const char *source = from;
    /* Lines that are not written whole, at either end, are copied as usual. */
    const size_t head = min_size(bytes, -(uintptr_t)target % CACHE_LINE), lines = (bytes - head) / CACHE_LINE;
    const size_t body = lines * CACHE_LINE, tail = head + body;
    stream_lines *widest = __builtin_cpu_supports("avx512f") ? stream_512
                           : __builtin_cpu_supports("avx")   ? stream_256
                                                             : stream_128;
    memcpy(target, source, head);
    widest(target + head, source + head, body, next, after);
    memcpy(target + tail, source + tail, bytes - tail);
}

void stream_end(void) { _mm_sfence(); }

int streams(size_t bytes, int are_planes, size_t threads)
{
    return bytes >= (threads > 1 ? STREAMED_BY_MORE : are_planes ? STREAMED_PLANES : STREAMED_LINES);
}

#else

void stream(void *restrict to, const void *restrict from, size_t bytes, const void *next, const void *after)
{
    (void)next, (void)after;
    memcpy(to, from, bytes);
}

void stream_end(void) {}

int streams(size_t bytes, int are_planes, size_t threads)
{
    (void)bytes, (void)are_planes, (void)threads;
    return 0;
}

#endif
