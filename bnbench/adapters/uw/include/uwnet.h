/* What a handed-in batchnorm_layer.c (groups) or batch_norm.c (spatial) includes.
 *
 * The source is compiled against this header, so that only the names of the fields matter, and one
 * struct serves both editions. UWNET_SPATIAL selects the older edition, whose header declares the six.
 */
#ifndef UWNET_H
#define UWNET_H
#include "matrix.h"

typedef enum { LINEAR, LOGISTIC, RELU, LRELU, SOFTMAX } ACTIVATION;

typedef struct layer {
    matrix *x; /* the input, kept for the backward pass */
    matrix *in, *out, *delta;
    matrix w, dw, b, db;
    int width, height, channels;
    int size, stride, filters;
    ACTIVATION activation;
    int batchnorm;
    matrix x_norm, rolling_mean, rolling_variance;
    matrix (*forward)(struct layer, struct matrix);
    matrix (*backward)(struct layer, struct matrix);
    void (*update)(struct layer, float rate, float momentum, float decay);
} layer;

layer make_batchnorm_layer(int groups);

#ifdef UWNET_SPATIAL
matrix mean(matrix x, int spatial);
matrix variance(matrix x, matrix m, int spatial);
matrix normalize(matrix x, matrix m, matrix v, int spatial);
matrix delta_mean(matrix d, matrix variance, int spatial);
matrix delta_variance(matrix d, matrix x, matrix mean, matrix variance, int spatial);
matrix delta_batch_norm(matrix d, matrix dm, matrix dv, matrix mean, matrix variance, matrix x, int spatial);
matrix batch_normalize_forward(layer l, matrix x);
matrix batch_normalize_backward(layer l, matrix d);
#endif

#endif
