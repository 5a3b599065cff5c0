/* Work that falls into units (ranges of channels) and parts (ranges of rows), on one thread or several. */
#ifndef BNBENCH_PARALLEL_H
#define BNBENCH_PARALLEL_H

#include <stddef.h>

enum { MAX_THREADS = 64 };

/* Where the part begins, and the one before ends, of so many rows in so many parts. */
static inline size_t part_start(size_t rows, size_t parts, size_t part) { return rows * part / parts; }

/* `slot` is below the number of threads, and no two steps have the same one at the same time. */
typedef void bn_step(void *job, size_t unit, size_t part, size_t slot);

/* For each unit: `learn` from its parts in any order (NULL: nothing to learn), then `settle` it once (NULL: nothing to
 * settle), then `apply` to its parts in any order. Steps of different units are independent. */
typedef struct {
    size_t units, parts, threads;
    bn_step *learn, *settle, *apply;
    void *job;
} bn_plan;

void bn_run(const bn_plan *plan);

/* Note which cores there are, once, before another library binds the calling thread to one of them. */
void bn_load(void);

#endif
