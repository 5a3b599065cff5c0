#include <stdlib.h>
#include <math.h>
#include <assert.h>
#include "uwnet.h"

#define EPS 0.00001f

matrix mean(matrix x, int groups)
{
    assert(x.cols % groups == 0);
    matrix m = make_matrix(1, groups);
    int n = x.cols / groups;
    int i, j;
    for (i = 0; i < x.rows; ++i) {
        for (j = 0; j < x.cols; ++j) {
            m.data[j / n] += x.data[i * x.cols + j];
        }
    }
    for (i = 0; i < m.cols; ++i) {
        m.data[i] = m.data[i] / x.rows / n;
    }
    return m;
}

matrix variance(matrix x, matrix m, int groups)
{
    matrix v = make_matrix(1, groups);
    int n = x.cols / groups;
    int i, j;
    for (i = 0; i < x.rows; ++i) {
        for (j = 0; j < x.cols; ++j) {
            float diff = x.data[i * x.cols + j] - m.data[j / n];
            v.data[j / n] += diff * diff;
        }
    }
    for (i = 0; i < v.cols; ++i) {
        v.data[i] = v.data[i] / x.rows;
    }
    return v;
}

matrix normalize(matrix x, matrix m, matrix v, int groups)
{
    matrix norm = make_matrix(x.rows, x.cols);
    int n = x.cols / groups;
    int i, j;
    for (i = 0; i < x.rows; ++i) {
        for (j = 0; j < x.cols; ++j) {
            float top = x.data[i * x.cols + j] - m.data[j / n];
            norm.data[i * x.cols + j] = top / sqrtf(v.data[j / n] + EPS);
        }
    }
    return norm;
}

matrix forward_batchnorm_layer(layer l, matrix x)
{
    free_matrix(*l.x);
    *l.x = copy_matrix(x);
    if (x.rows == 1) {
        return normalize(x, l.rolling_mean, l.rolling_variance, l.channels);
    }
    float s = 0.1;
    matrix m = mean(x, l.channels);
    matrix v = variance(x, m, l.channels);
    matrix y = normalize(x, m, v, l.channels);
    scal_matrix(1 - s, l.rolling_mean);
    axpy_matrix(s, m, l.rolling_mean);
    scal_matrix(1 - s, l.rolling_variance);
    axpy_matrix(s, v, l.rolling_variance);
    free_matrix(m);
    free_matrix(v);
    return y;
}

matrix delta_mean(matrix d, matrix v)
{
    int groups = v.cols;
    matrix dm = make_matrix(1, groups);
    int n = d.cols / groups;
    int i, j;
    for (i = 0; i < d.rows; ++i) {
        for (j = 0; j < d.cols; ++j) {
            dm.data[j / n] += d.data[i * d.cols + j];
        }
    }
    for (i = 0; i < groups; ++i) {
        dm.data[i] *= -1.0f / sqrtf(v.data[i] + EPS);
    }
    return dm;
}

matrix delta_variance(matrix d, matrix x, matrix m, matrix v)
{
    int groups = m.cols;
    matrix dv = make_matrix(1, groups);
    int n = d.cols / groups;
    int i, j;
    for (i = 0; i < d.rows; ++i) {
        for (j = 0; j < d.cols; ++j) {
            dv.data[j / n] += d.data[i * d.cols + j] * (x.data[i * d.cols + j] - m.data[j / n]);
        }
    }
    for (i = 0; i < groups; ++i) {
        dv.data[i] *= -0.5f * powf(v.data[i] + EPS, -1.5f);
    }
    return dv;
}

matrix delta_batch_norm(matrix d, matrix dm, matrix dv, matrix m, matrix v, matrix x)
{
    matrix dx = make_matrix(d.rows, d.cols);
    int n = d.cols / m.cols;
    int count = d.rows * n;
    int i, j;
    for (i = 0; i < d.rows; ++i) {
        for (j = 0; j < d.cols; ++j) {
            int at = i * d.cols + j;
            int g = j / n;
            float direct = d.data[at] / sqrtf(v.data[g] + EPS);
            float through_v = dv.data[g] * 2 * (x.data[at] - m.data[g]) / count;
            float through_m = dm.data[g] / count;
            dx.data[at] = direct + through_v + through_m;
        }
    }
    return dx;
}

matrix backward_batchnorm_layer(layer l, matrix dy)
{
    matrix x = *l.x;
    matrix m = mean(x, l.channels);
    matrix v = variance(x, m, l.channels);
    matrix dm = delta_mean(dy, v);
    matrix dv = delta_variance(dy, x, m, v);
    matrix dx = delta_batch_norm(dy, dm, dv, m, v, x);
    free_matrix(m);
    free_matrix(v);
    free_matrix(dm);
    free_matrix(dv);
    return dx;
}

void update_batchnorm_layer(layer l, float rate, float momentum, float decay) {}

layer make_batchnorm_layer(int groups)
{
    layer l = {0};
    l.channels = groups;
    l.x = calloc(1, sizeof(matrix));
    l.rolling_mean = make_matrix(1, groups);
    l.rolling_variance = make_matrix(1, groups);
    l.forward = forward_batchnorm_layer;
    l.backward = backward_batchnorm_layer;
    l.update = update_batchnorm_layer;
    return l;
}
