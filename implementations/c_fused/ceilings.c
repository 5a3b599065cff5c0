/* copy and triad: what the memory can do, for arrays of the size that a kernel has.
 *
 * A forward pass can't be faster than copy, a backward pass not faster than triad, of as many bytes. Both
 * go through memory as the kernels do, with or without streamed stores, on as many threads.
 */
#include "binding.h"

#include "memory.h"
#include "parallel.h"

#ifdef BNBENCH_HAVE_TARGET_CLONES
#define CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define CLONES
#endif

enum { WORDS = 256, AHEAD = 2048, PIECES = 8, WORD = sizeof(uint32_t) }; /* a tile, and how far to prefetch */

typedef struct {
    const uint32_t *one, *other; /* other: NULL for copy */
    uint32_t *to;
    size_t words, pieces;
    int streaming;
} ceiling_job;

/* Integers: whatever the bits are, adding them takes the same time. */
CLONES static void copy_words(size_t words, const uint32_t *restrict one, uint32_t *restrict to)
{
    for (size_t i = 0; i < words; i++)
        to[i] = one[i] ^ 1;
}

CLONES static void add_words(size_t words, const uint32_t *restrict one, const uint32_t *restrict other,
                             uint32_t *restrict to)
{
    for (size_t i = 0; i < words; i++)
        to[i] = one[i] + other[i];
}

static void move(const ceiling_job *job, size_t start, size_t words, uint32_t *to)
{
    if (job->other == NULL)
        copy_words(words, job->one + start, to);
    else
        add_words(words, job->one + start, job->other + start, to);
}

static void move_piece(void *untyped, size_t unit, size_t part, size_t slot)
{
    const ceiling_job *job = untyped;
    const size_t end = job->words * (unit + 1) / job->pieces;
    size_t i = job->words * unit / job->pieces;
    (void)part, (void)slot;
    if (!job->streaming) {
        move(job, i, end - i, job->to + i);
        return;
    }
    _Alignas(CACHE_LINE) uint32_t tile[WORDS];
    for (size_t words; i < end; i += words) {
        words = min_size(end - i, WORDS);
        move(job, i, words, tile);
        stream(job->to + i, tile, words * WORD, job->one + i + AHEAD, job->other ? job->other + i + AHEAD : NULL);
    }
    stream_end();
}

static PyObject *run(signature *of, PyObject *const *args, Py_ssize_t positional, PyObject *names)
{
    enum { STREAMING, THREADS };
    PyObject *keyword[2] = {NULL}, *result = NULL;
    bn_array view[3] = {{0}};
    size_t threads;
    if (parse(of, args, positional, names, keyword) < 0 || parse_threads(keyword[THREADS], &threads) < 0)
        return NULL;
    for (Py_ssize_t i = 0; i < positional; i++) {
        if (borrow("an argument", args[i], 0, &view[i]) < 0)
            goto done;
        if (view[i].bytes != view[0].bytes || view[i].object != args[i] ||
            (i + 1 == positional && !is_writable(&view[i]))) {
            PyErr_SetString(PyExc_ValueError, "expected contiguous arrays of one size, the last of them writable");
            goto done;
        }
    }
    ceiling_job job = {
        .one = view[0].data,
        .other = positional == 3 ? view[1].data : NULL,
        .to = view[positional - 1].data,
        .words = view[0].bytes / WORD,
        .pieces = threads == 1 ? 1 : PIECES * threads,
        .streaming = PyObject_IsTrue(keyword[STREAMING]),
    };
    const bn_plan plan = {.units = job.pieces, .parts = 1, .threads = threads, .apply = move_piece, .job = &job};
    PyThreadState *thread = view[0].bytes >= WITHOUT_GIL ? PyEval_SaveThread() : NULL;
    bn_run(&plan);
    if (thread != NULL)
        PyEval_RestoreThread(thread);
    result = Py_NewRef(Py_None);
done:
    for (int i = 0; i < 3; i++)
        release(&view[i]);
    return result;
}

PyObject *copy(PyObject *module, PyObject *const *args, Py_ssize_t positional, PyObject *names)
{
    (void)module;
    static signature SIGNATURE = {"copy", "one, target", 2, 2, 2, {"streaming", "threads"}, {NULL}};
    return run(&SIGNATURE, args, positional, names);
}

PyObject *triad(PyObject *module, PyObject *const *args, Py_ssize_t positional, PyObject *names)
{
    (void)module;
    static signature SIGNATURE = {"triad", "one, other, target", 3, 2, 2, {"streaming", "threads"}, {NULL}};
    return run(&SIGNATURE, args, positional, names);
}
