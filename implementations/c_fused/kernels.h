/* Normalization of (N, C) and (N, C, *spatial) arrays, spatial collapsed to one axis.
 *
 * Every call is a record of untyped pointers; the functions ending in _f32 and _f64 read them as
 * float and double. All arrays are C-contiguous and none of them overlap. No result depends on the
 * number of threads.
 */
#ifndef BNBENCH_KERNELS_H
#define BNBENCH_KERNELS_H

#include <stddef.h>

typedef struct {
    size_t batch, channels, spatial; /* N, C, L: M = N L values are normalized together */
} bn_shape;

/* What a forward pass learns about the channels and the backward pass needs, (C,) each.
 * The mean is shift + residual, where shift has the arrays' own type: x - shift is then exact or
 * nearly so, and no accuracy is lost when the mean is much larger than the standard deviation. */
typedef struct {
    double *shift, *residual, *inverse_sd, *gamma;
} bn_saved;

typedef struct {
    bn_shape shape;
    int training;
    double eps, momentum;
    const void *x;                                          /* (N, C, L) */
    const void *gamma, *beta, *running_mean, *running_var;  /* (C,) */
    void *y;                                                /* (N, C, L) */
    void *new_mean, *new_var;                               /* (C,): the running statistics after the call */
    bn_saved saved;
    size_t threads;
} bn_forward;

typedef struct {
    bn_shape shape;
    int training;
    const void *x, *dy;   /* (N, C, L) */
    bn_saved saved;       /* read only */
    void *dx;             /* (N, C, L) */
    void *dgamma, *dbeta; /* (C,) */
    size_t threads;
} bn_backward;

/* Layer, group, instance and RMS norm: a row of x falls into `groups` blocks of consecutive channels,
 * each normalized by itself. What is saved is (N * groups,) each, but gamma (C,). */
typedef struct {
    bn_shape shape;
    size_t groups;
    int centred; /* 0: RMS norm, which subtracts no mean */
    double eps;
    const void *x;            /* (N, C, L) */
    const void *gamma, *beta; /* (C,) */
    void *y;                  /* (N, C, L) */
    bn_saved saved;
    size_t threads;
} gn_forward;

typedef struct {
    bn_shape shape;
    size_t groups;
    int centred;
    const void *x, *dy;   /* (N, C, L) */
    bn_saved saved;       /* read only */
    void *dx;             /* (N, C, L) */
    void *dgamma, *dbeta; /* (C,) */
    size_t threads;
} gn_backward;

/* Return 0, or -1 when memory ran out. */
int bn_forward_f32(const bn_forward *call);
int bn_forward_f64(const bn_forward *call);
int bn_backward_f32(const bn_backward *call);
int bn_backward_f64(const bn_backward *call);
int gn_forward_f32(const gn_forward *call);
int gn_forward_f64(const gn_forward *call);
int gn_backward_f32(const gn_backward *call);
int gn_backward_f64(const gn_backward *call);

#endif
