/* The kernels of kernels.inc and grouped.inc for float and for double.
 *
 * Two ways through memory, chosen by the spatial size L:
 *
 * lines   (N, C) and short L: the array is a stack of contiguous lines, one column for each (c, l).
 *         Loops run along a line, so that neighbouring columns share a vector. Narrow arrays have
 *         several batch rows folded side by side into one line.
 * planes  long L: loops run along the L contiguous values of one channel. A channel is finished,
 *         statistics and output, before the next begins, so that the second pass finds it in cache.
 *
 * Both take mean and variance in one pass over x, as sums of d = x - shift and of d^2 in the arrays'
 * own type. After each block these are merged in double (Chan, Golub and LeVeque, 1979) and the
 * shift moves to the mean so far: rounding errors grow neither with M nor with mean / sd.
 *
 * The order of every sum is written down, and products are not contracted into fused multiply-adds
 * (see CMakeLists.txt): whatever vectors a CPU has, it computes the same bits.
 */
#include "kernels.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef BNBENCH_HAVE_TARGET_CLONES
#define CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define CLONES
#endif

enum {
    CACHE_LINE = 64,
    SHORT_SPATIAL = 96,      /* below this L, lines are faster than planes */
    FOLDED_WIDTH = 256,      /* columns that narrow arrays are folded to */
    PANEL_BYTES = 8 << 10,   /* the part of a wide line that is taken down the array at once */
    IN_CACHE = 16 << 20,     /* bytes of x above which memory wants whole lines, not panels */
    LINES_PER_BLOCK = 128,   /* values of one column summed in the arrays' own type */
    LANE_BYTES = 256,        /* of partial sums for a plane: 64 floats, 32 doubles */
    VALUES_PER_BLOCK = 4096, /* values of one plane summed in the arrays' own type, in all lanes together */
    FIRST_LINES = 8,         /* and FIRST_VALUES: the first block of many is short, so that a bad first */
    FIRST_VALUES = 256,      /* shift is soon left behind */
    FEW_VALUES = 16,         /* a block below this is summed in double at once */
};

static size_t min_size(size_t a, size_t b) { return a < b ? a : b; }

static int is_empty(bn_shape shape) { return shape.batch == 0 || shape.channels == 0 || shape.spatial == 0; }

static double count(bn_shape shape) { return (double)shape.batch * (double)shape.spatial; }

/* Several batch rows side by side are one line; the rows that do not fill a line come last. Where
 * the coefficients of a whole line would not stay in the nearest cache, panels of columns are taken. */
typedef struct {
    size_t fold, width, lines, rest, panel;
} bn_lines;

static bn_lines lines_of(bn_shape shape, size_t itemsize)
{
    const size_t row = shape.channels * shape.spatial;
    size_t fold = min_size(FOLDED_WIDTH / row, shape.batch / 8);
    fold = fold < 1 ? 1 : fold;
    const size_t panel = shape.batch * row * itemsize > IN_CACHE ? fold * row : PANEL_BYTES / itemsize;
    return (bn_lines){fold, fold * row, shape.batch / fold, shape.batch % fold * row, panel};
}

/* One allocation, handed out in pieces that start at cache lines. */
typedef struct {
    char *block, *next;
} bn_scratch;

static size_t padded(size_t bytes) { return (bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE; }

static int scratch_open(bn_scratch *scratch, size_t bytes)
{
    scratch->block = malloc(bytes + CACHE_LINE);
    scratch->next = (char *)padded((uintptr_t)scratch->block);
    return scratch->block == NULL ? -1 : 0;
}

static void *scratch_take(bn_scratch *scratch, size_t bytes)
{
    void *piece = scratch->next;
    scratch->next += padded(bytes);
    return piece;
}

/* Add a block of `block` values with the sums s = sum(d) and q = sum(d^2), d = x - shift, to the
 * `seen` values whose mean is origin + *offset and whose squared deviations from it sum to *m2. */
static inline void merge(double seen, double block, double shift_from_origin, double s, double q, double *offset,
                         double *m2)
{
    const double total = seen + block;
    const double delta = shift_from_origin + s / block - *offset;
    *offset += delta * (block / total);
    *m2 += q - s * s / block + delta * delta * (seen * block / total);
}

#define T float
#define NAME(base) base##_f32
#include "kernels.inc"
#include "grouped.inc"
#undef T
#undef NAME

#define T double
#define NAME(base) base##_f64
#include "kernels.inc"
#include "grouped.inc"
