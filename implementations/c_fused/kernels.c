/* The kernels for float and for double.
 *
 * Two ways through memory, chosen by the spatial size L:
 *
 * lines   (N, C) and short L: the array is a stack of contiguous lines, one column for each (c, l).
 *         Loops run along a line, so that neighbouring columns share a vector. Narrow arrays have
 *         several batch rows folded side by side into one line.
 * planes  long L: loops run along the L contiguous values of one channel.
 *
 * Either way the work is cut into units, a range of channels that is finished, statistics and output,
 * before the next begins, so that the second pass finds it in cache; and, where there are so many rows
 * that they would not stay there, into parts, ranges of rows. parallel.h runs units and parts.
 *
 * Mean and variance take one pass over x, as sums of d = x - shift and of d^2 in the arrays' own type.
 * After each block these are merged in double (Chan, Golub and LeVeque, 1979) and the shift moves to
 * the mean so far: rounding errors grow neither with M nor with mean / sd.
 *
 * The order of every sum is written down and follows from the shape alone, and products are not
 * contracted into fused multiply-adds (see CMakeLists.txt): whatever vectors a CPU has and however many
 * threads are used, the same bits are computed.
 */
#include "kernels.h"

#include "memory.h"
#include "parallel.h"

#include <math.h>

#ifdef BNBENCH_HAVE_TARGET_CLONES
#define CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define CLONES
#endif

/* Where a call would take as long as what is called. */
#ifdef __GNUC__
#define INLINE __attribute__((always_inline)) static inline
#else
#define INLINE static inline
#endif

/* The arrays of the loop do not overlap: more pointers than a compiler would compare at run time. */
#if defined(__clang__)
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define INDEPENDENT _Pragma("GCC ivdep")
#else
#define INDEPENDENT
#endif

enum {
    SHORT_SPATIAL = 96,        /* below this L, lines are faster than planes */
    NARROW = 64,               /* columns whose sums fit the registers */
    FOLDED_WIDTH = 256,        /* columns that narrow arrays are folded to, if so many lines are left: */
    FOLDED_LINES = 64,         /* where a row is cache lines, and */
    FOLDED_PIECES = 8,         /* where it is not */
    PANEL_BYTES = 4 << 10,     /* of a wide line, that make a unit */
    LINES_PER_BLOCK = 256,     /* values of one column summed in the arrays' own type */
    LINES_PER_PART = 512,      /* at least, and */
    PARTS = 8,                 /* at most so many parts */
    LANES = 32,                /* partial sums for a plane: two vectors of floats, four of doubles */
    VALUES_PER_BLOCK = 4096,   /* values of one plane summed in the arrays' own type, in all lanes together */
    VALUES_PER_PART = 1 << 16, /* of one plane, or of a norm within a row, at least */
    FEW_CHANNELS = 16,         /* fewer planes than these are cut into parts */
    FIRST_LINES = 8,           /* and FIRST_VALUES: the first block of many is short, so that a bad first */
    FIRST_VALUES = 256,        /* shift is soon left behind */
    FEW_VALUES = 16,           /* a block below this is summed in double at once */
    TILE_BYTES = 1 << 10,      /* of output, computed in the nearest cache before it is streamed, or */
    COEFFICIENTS = 16 << 10,   /* bytes of them, of one line, that leave the nearest cache room for what is streamed; */
    LINES_ABREAST = 4,         /* beyond them, so many lines at a time, */
    ABREAST_BYTES = 512,       /* a tile of each, */
    ABREAST_AHEAD = 2 << 10,   /* and so far asked in advance */
    AHEAD_BYTES = 8 << 10,     /* how far the memory is asked in advance, where it is asked */
    NEAREST_CACHE = 32 << 10,  /* bytes of it that a loop may count on */
    FROM_MEMORY = 40 << 20,    /* bytes read and written that no cache keeps from one pass to the next */
    PLANES_AHEAD = 16 << 20,   /* the same, from which on a backward asks for the next image's planes */
    GROUP_RUN = 16 << 10,      /* bytes of one image in neighbouring channels: long enough for the memory; */
    FORWARD_GROUP = 512 << 10, /* of x of the whole batch in them: short enough for the second cache; */
    BACKWARD_GROUP = 2 << 20,  /* in a backward, where dy is as much again: long runs matter more */
    ONE_THREAD = 512 << 10,    /* bytes read below which help would come too late */
};

static int is_empty(bn_shape shape) { return shape.batch == 0 || shape.channels == 0 || shape.spatial == 0; }

static double count(bn_shape shape) { return (double)shape.batch * (double)shape.spatial; }

static size_t clamp(size_t low, size_t value, size_t high) { return value < low ? low : value > high ? high : value; }

static size_t threads_for(size_t threads, size_t bytes)
{
    return bytes < ONE_THREAD ? 1 : clamp(1, threads, MAX_THREADS);
}

/* Several batch rows side by side are one line; the rows that do not fill a line come last. What comes from memory
 * is summed in order, a line at a time, if two sums and the shift of each column stay in the nearest cache meanwhile. */
typedef struct {
    size_t fold, width, lines, rest;
    int in_order;
} bn_lines;

/* Of `arrays` that are read, and another that is written. */
static bn_lines lines_of(bn_shape shape, size_t arrays, size_t itemsize)
{
    const size_t row = shape.channels * shape.spatial;
    /* Rows of whole cache lines gain little by it, and only where there are many. */
    const size_t least = row * itemsize % CACHE_LINE == 0 ? FOLDED_LINES : FOLDED_PIECES;
    const size_t fold = clamp(1, min_size(FOLDED_WIDTH / row, shape.batch / least), FOLDED_WIDTH);
    const int in_order = (arrays + 1) * shape.batch * row * itemsize >= FROM_MEMORY &&
                         3 * fold * row * itemsize + arrays * AHEAD_BYTES <= NEAREST_CACHE;
    return (bn_lines){fold, fold * row, shape.batch / fold, shape.batch % fold * row, in_order};
}

/* How the work of a call is cut. A unit is `channels` channels, but the last may be shorter. */
typedef struct {
    size_t channels, units, parts, threads;
} bn_cut;

static bn_cut cut_into(size_t channels, size_t all_channels, size_t parts, size_t threads)
{
    channels = clamp(1, channels, all_channels);
    return (bn_cut){channels, (all_channels + channels - 1) / channels, parts, threads};
}

/* Into how many parts lines are cut, whatever the threads: the sums of parts are rounded. */
static size_t parts_of_lines(bn_lines lines) { return clamp(1, lines.lines / LINES_PER_PART, PARTS); }

/* Panels of a wide line, so that what is kept for each column stays in the nearest cache. What is streamed comes from
 * memory, which wants whole lines; and so do lines that are folded. */
static bn_cut cut_lines(bn_shape shape, bn_lines lines, size_t parts, size_t itemsize, int is_streamed, size_t threads)
{
    size_t channels = shape.channels;
    if (lines.fold == 1 && !is_streamed)
        channels = PANEL_BYTES / itemsize / shape.spatial;
    if (lines.fold == 1 && parts == 1 && threads > 1) /* whole cache lines for each thread */
        channels = min_size(channels, padded((shape.channels + threads - 1) / threads));
    return cut_into(channels, shape.channels, parts, threads);
}

/* Where nothing is learnt any cut will do: parts of neighbouring rows. Of rows that two threads shared, each would ask
 * the other's core for what it reads ahead of itself. */
static size_t parts_without_learning(size_t rows, size_t threads)
{
    return threads == 1 ? 1 : min_size(rows, PARTS * threads);
}

/* Neighbouring channels that make a long run in memory and still fit a cache, so many bytes of the whole batch. */
static bn_cut cut_planes(bn_shape shape, size_t itemsize, size_t bytes, size_t threads)
{
    const size_t run = shape.spatial * itemsize;
    const size_t channels = min_size(GROUP_RUN / run, bytes / (shape.batch * run));
    size_t parts = 1;
    if (shape.channels < FEW_CHANNELS)
        parts = clamp(1, shape.batch * shape.spatial / VALUES_PER_PART, min_size(shape.batch, PARTS));
    return cut_into(channels, shape.channels, parts, threads);
}

/* Of a norm within a row: parts of its blocks, as many whatever the threads, since their gradients are added up in
 * order. */
static size_t parts_of_blocks(bn_shape shape, size_t blocks)
{
    const size_t values = shape.batch * shape.channels * shape.spatial;
    return clamp(1, values / VALUES_PER_PART, min_size(blocks, PARTS));
}

/* What a part knows of each channel, and whatever the parts before it know once they were merged. The
 * mean is origin + offset, and m2 the sum of squared deviations from it. */
typedef struct {
    double *origin, *offset, *m2;
} bn_moments;

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
#include "channels.inc"
#include "lines.inc"
#include "planes.inc"
#include "forward.inc"
#include "backward.inc"
#include "grouped.inc"
#undef T
#undef NAME

#define T double
#define NAME(base) base##_f64
#include "channels.inc"
#include "lines.inc"
#include "planes.inc"
#include "forward.inc"
#include "backward.inc"
#include "grouped.inc"
