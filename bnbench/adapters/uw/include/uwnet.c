/* The helpers that a handed-in file may call, and three functions through which a layer is driven.
 *
 * The helpers are weak: where a handed-in file brings its own, that one is used.
 */
#include "uwnet.h"

#include <stdlib.h>
#include <string.h>

#define WEAK __attribute__((weak))

WEAK matrix make_matrix(int rows, int cols)
{
    matrix m = {rows, cols, calloc((size_t)rows * (size_t)cols, sizeof(float)), 0};
    return m;
}

WEAK void free_matrix(matrix m)
{
    if (!m.shallow) free(m.data);
}

WEAK matrix copy_matrix(matrix m)
{
    matrix copy = make_matrix(m.rows, m.cols);
    size_t bytes = (size_t)m.rows * (size_t)m.cols * sizeof(float);
    if (bytes) memcpy(copy.data, m.data, bytes);
    return copy;
}

WEAK matrix random_matrix(int rows, int cols, float s)
{
    matrix m = make_matrix(rows, cols);
    for (int k = 0; k < rows * cols; k++) m.data[k] = s * (2 * ((float)rand() / (float)RAND_MAX) - 1);
    return m;
}

WEAK matrix transpose_matrix(matrix m)
{
    matrix t = make_matrix(m.cols, m.rows);
    for (int i = 0; i < m.rows; i++)
        for (int j = 0; j < m.cols; j++) t.data[j * t.cols + i] = m.data[i * m.cols + j];
    return t;
}

WEAK matrix matmul(matrix a, matrix b)
{
    matrix c = make_matrix(a.rows, b.cols);
    for (int i = 0; i < a.rows; i++)
        for (int k = 0; k < a.cols; k++)
            for (int j = 0; j < b.cols; j++) c.data[i * c.cols + j] += a.data[i * a.cols + k] * b.data[k * b.cols + j];
    return c;
}

WEAK void scal_matrix(float s, matrix m)
{
    for (int k = 0; k < m.rows * m.cols; k++) m.data[k] *= s;
}

WEAK void axpy_matrix(float a, matrix x, matrix y)
{
    for (int k = 0; k < x.rows * x.cols; k++) y.data[k] += a * x.data[k];
}

WEAK void print_matrix(matrix m)
{
    for (int i = 0; i < m.rows; i++) {
        for (int j = 0; j < m.cols; j++) printf("%15.7f ", m.data[i * m.cols + j]);
        printf("\n");
    }
}

#ifdef UWNET_SPATIAL
#define ELEMENTS (size)
#else
#define ELEMENTS (x.cols / size)
#endif

WEAK matrix mean(matrix x, int size)
{
    matrix m = make_matrix(1, x.cols / ELEMENTS);
    for (int k = 0; k < x.rows * x.cols; k++) m.data[k % x.cols / ELEMENTS] += x.data[k];
    scal_matrix(1.0f / (float)(x.rows * ELEMENTS), m);
    return m;
}

WEAK layer make_batchnorm_layer(int groups)
{
    layer l = {0};
    l.channels = groups;
    l.x = calloc(1, sizeof(matrix));
    l.rolling_mean = make_matrix(1, groups);
    l.rolling_variance = make_matrix(1, groups);
    return l;
}

layer *bnbench_new_layer(int groups)
{
    layer *l = malloc(sizeof *l);
    *l = make_batchnorm_layer(groups);
    return l;
}

matrix bnbench_run_layer(layer *l, matrix (*pass)(layer, matrix), matrix a)
{
    return pass(*l, a);
}

matrix bnbench_rolling(layer *l, int variance_wanted)
{
    return variance_wanted ? l->rolling_variance : l->rolling_mean;
}
