/* A pool of threads that help the caller, and are never waited for before they have taken something.
 *
 * Every thread has a range of the steps, the same in every phase and every call of a shape, so that it finds
 * in its own cache what it read before; then it takes what is left of the others' ranges. A helper whose core
 * is busy with something else takes none and delays nobody, where a barrier would wait for it. Helpers look
 * for work for some microseconds after the last, then sleep: a spinning helper is a busy core to everyone else.
 */
#ifdef __linux__
#define _GNU_SOURCE /* for affinities */
#include <sched.h>
#endif

#include "parallel.h"

#include "memory.h"

#if defined(__unix__) || defined(__APPLE__)
#define BNBENCH_HAVE_POOL
#include <pthread.h>
#include <stdatomic.h>
#endif

/* The number of steps of a phase, and the one with a given number. */
typedef struct {
    const bn_plan *plan;
    bn_step *step; /* NULL: all three, one unit after the other */
    size_t steps, parts;
} bn_phase;

static void whole_unit(const bn_plan *plan, size_t unit, size_t slot)
{
    for (size_t part = 0; plan->learn != NULL && part < plan->parts; part++)
        plan->learn(plan->job, unit, part, slot);
    if (plan->settle != NULL)
        plan->settle(plan->job, unit, 0, slot);
    for (size_t part = 0; part < plan->parts; part++)
        plan->apply(plan->job, unit, part, slot);
}

static void do_step(const bn_phase *phase, size_t number, size_t slot)
{
    if (phase->step == NULL)
        whole_unit(phase->plan, number, slot);
    else
        phase->step(phase->plan->job, number / phase->parts, number % phase->parts, slot);
}

#ifdef BNBENCH_HAVE_POOL

enum { LOOKS = 20000 }; /* at the counter before a helper goes to sleep: some 20 microseconds */

static struct {
    pthread_mutex_t owner; /* held by the caller whose phase it is */
    pthread_mutex_t lock;  /* of the condition */
    pthread_cond_t wake;
    atomic_size_t ticket;    /* of the phase: changes when a new one is open */
    atomic_size_t inside;    /* helpers that look at the phase */
    atomic_int is_open, sleepers;
    pthread_t helper[MAX_THREADS];
    size_t helpers;          /* started in this process */
    int kept_off;            /* the core that the helpers are kept off; -1: none */
#ifdef __linux__
    cpu_set_t cores;         /* that the process might use when the extension was loaded */
#endif
    size_t invited;          /* helpers that may join this phase */
    bn_phase phase;
    struct {
        _Alignas(CACHE_LINE) atomic_size_t next; /* step to take */
    } range[MAX_THREADS];
} pool = {.owner = PTHREAD_MUTEX_INITIALIZER,
          .lock = PTHREAD_MUTEX_INITIALIZER,
          .wake = PTHREAD_COND_INITIALIZER,
          .kept_off = -1};

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void take_steps(size_t slot)
{
    const size_t threads = pool.invited + 1;
    for (size_t i = 0; i < threads; i++) {
        const size_t range = (slot + i) % threads, end = part_start(pool.phase.steps, threads, range + 1);
        for (size_t number; (number = atomic_fetch_add(&pool.range[range].next, 1)) < end;)
            do_step(&pool.phase, number, slot);
    }
}

static void *help(void *argument)
{
    const size_t slot = (size_t)argument;
    size_t seen = 0;
    for (;;) {
        for (int looks = 0; atomic_load(&pool.ticket) == seen && looks < LOOKS; looks++)
            relax();
        if (atomic_load(&pool.ticket) == seen) {
            pthread_mutex_lock(&pool.lock);
            atomic_fetch_add(&pool.sleepers, 1);
            while (atomic_load(&pool.ticket) == seen)
                pthread_cond_wait(&pool.wake, &pool.lock);
            atomic_fetch_sub(&pool.sleepers, 1);
            pthread_mutex_unlock(&pool.lock);
        }
        seen = atomic_load(&pool.ticket);
        /* First inside, then a look whether it is open: the caller closes, then waits for those inside. */
        atomic_fetch_add(&pool.inside, 1);
        if (atomic_load(&pool.is_open) && slot <= pool.invited)
            take_steps(slot);
        atomic_fetch_sub(&pool.inside, 1);
    }
    return NULL;
}

/* A child of fork has the pool but none of its threads. */
static void forget(void)
{
    pthread_mutex_init(&pool.owner, NULL);
    pthread_mutex_init(&pool.lock, NULL);
    pthread_cond_init(&pool.wake, NULL);
    atomic_store(&pool.inside, 0);
    atomic_store(&pool.is_open, 0);
    atomic_store(&pool.sleepers, 0);
    pool.helpers = 0;
    pool.kept_off = -1;
}

static void start_helpers(size_t count)
{
    static int registered = 0;
    if (!registered)
        registered = pthread_atfork(NULL, NULL, forget) == 0;
    for (; pool.helpers < count; pool.helpers++) {
        pthread_t *thread = &pool.helper[pool.helpers];
        if (!registered || pthread_create(thread, NULL, help, (void *)(pool.helpers + 1)) != 0)
            return;
        pthread_detach(*thread);
        pool.kept_off = -1;
    }
}

/* A thread that is woken tends to be put on the core of the one that wakes it, which is busy: it would
 * start when the work is done. */
static void keep_off_this_core(void)
{
#ifdef __linux__
    const int core = sched_getcpu();
    cpu_set_t others = pool.cores;
    if (core < 0 || core == pool.kept_off)
        return;
    CPU_CLR(core, &others);
    if (CPU_COUNT(&others) == 0)
        return;
    for (size_t i = 0; i < pool.helpers; i++)
        pthread_setaffinity_np(pool.helper[i], sizeof others, &others);
    pool.kept_off = core;
#endif
}

static void run_phase(bn_phase phase, size_t threads)
{
    pool.phase = phase;
    pool.invited = threads - 1;
    for (size_t range = 0; range < threads; range++)
        atomic_store(&pool.range[range].next, part_start(phase.steps, threads, range));
    atomic_store(&pool.is_open, 1);
    atomic_fetch_add(&pool.ticket, 1);
    if (atomic_load(&pool.sleepers) > 0) {
        keep_off_this_core();
        pthread_mutex_lock(&pool.lock);
        pthread_cond_broadcast(&pool.wake);
        pthread_mutex_unlock(&pool.lock);
    }
    take_steps(0);
    atomic_store(&pool.is_open, 0);
    while (atomic_load(&pool.inside) > 0)
        relax();
}

/* Returns 0 when the pool serves another caller. */
static int run_on_pool(const bn_plan *plan)
{
    if (pthread_mutex_trylock(&pool.owner) != 0)
        return 0;
    start_helpers(plan->threads - 1);
    if (plan->parts == 1) {
        run_phase((bn_phase){plan, NULL, plan->units, 1}, plan->threads);
    } else {
        if (plan->learn != NULL)
            run_phase((bn_phase){plan, plan->learn, plan->units * plan->parts, plan->parts}, plan->threads);
        for (size_t unit = 0; plan->settle != NULL && unit < plan->units; unit++)
            plan->settle(plan->job, unit, 0, 0);
        run_phase((bn_phase){plan, plan->apply, plan->units * plan->parts, plan->parts}, plan->threads);
    }
    pthread_mutex_unlock(&pool.owner);
    return 1;
}

#else

static int run_on_pool(const bn_plan *plan)
{
    (void)plan;
    return 0;
}

#endif

void bn_load(void)
{
#if defined(BNBENCH_HAVE_POOL) && defined(__linux__)
    if (sched_getaffinity(0, sizeof pool.cores, &pool.cores) != 0)
        CPU_ZERO(&pool.cores);
#endif
}

void bn_run(const bn_plan *plan)
{
    if (plan->threads > 1 && plan->units * plan->parts > 1 && run_on_pool(plan))
        return;
    const bn_phase phase = {plan, NULL, plan->units, 1};
    for (size_t unit = 0; unit < plan->units; unit++)
        do_step(&phase, unit, 0);
}
