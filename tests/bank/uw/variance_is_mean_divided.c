#include "uwnet.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

matrix mean(matrix x, int spatial)
{
    matrix m = make_matrix(1, x.cols / spatial);
    int i, j;
    for (i = 0; i < x.rows; ++i) {
        for (j = 0; j < x.cols; ++j) {
            m.data[j / spatial] += x.data[i * x.cols + j];
        }
    }
    for (i = 0; i < m.cols; ++i) {
        m.data[i] = m.data[i] / x.rows / spatial;
    }
    return m;
}

matrix variance(matrix x, matrix m, int spatial)
{
    matrix v = make_matrix(1, x.cols / spatial);
    int i, j;
    for (i = 0; i < x.rows; ++i) {
        for (j = 0; j < x.cols; ++j) {
            float a = x.data[i * x.cols + j];
            float b = m.data[j / spatial];
            v.data[j / spatial] += powf(a - b, 2.f);
        }
    }
    for (i = 0; i < m.cols; ++i) {
        v.data[i] = m.data[i] / x.rows / spatial;
    }
    return v;
}

matrix normalize(matrix x, matrix m, matrix v, int spatial)
{
    matrix norm = make_matrix(x.rows, x.cols);
    int k;
    for (k = 0; k < x.rows * x.cols; ++k) {
        int channel = (k % x.cols) / spatial;
        norm.data[k] = (x.data[k] - m.data[channel]) / sqrtf(v.data[channel] + FLT_EPSILON);
    }
    return norm;
}

matrix batch_normalize_forward(layer l, matrix x)
{
    float s = .1;
    int spatial = x.cols / l.rolling_mean.cols;
    if (x.rows == 1) {
        return normalize(x, l.rolling_mean, l.rolling_variance, spatial);
    }
    matrix m = mean(x, spatial);
    matrix v = variance(x, m, spatial);
    matrix x_norm = normalize(x, m, v, spatial);
    scal_matrix(1 - s, l.rolling_mean);
    axpy_matrix(s, m, l.rolling_mean);
    scal_matrix(1 - s, l.rolling_variance);
    axpy_matrix(s, v, l.rolling_variance);
    free_matrix(m);
    free_matrix(v);
    free_matrix(l.x[0]);
    l.x[0] = x;
    return x_norm;
}

matrix delta_mean(matrix d, matrix variance, int spatial)
{
    matrix dm = make_matrix(1, variance.cols);
    int i, j;
    for (i = 0; i < d.rows; ++i) {
        for (j = 0; j < d.cols; ++j) {
            dm.data[j / spatial] += d.data[i * d.cols + j] * (-1.f / sqrtf(variance.data[j / spatial] + FLT_EPSILON));
        }
    }
    return dm;
}

matrix delta_variance(matrix d, matrix x, matrix mean, matrix variance, int spatial)
{
    matrix dv = make_matrix(1, variance.cols);
    int i, j;
    for (i = 0; i < d.rows; ++i) {
        for (j = 0; j < d.cols; ++j) {
            int k = i * d.cols + j, c = j / spatial;
            dv.data[c] += d.data[k] * (x.data[k] - mean.data[c]) * -.5f * powf(variance.data[c] + FLT_EPSILON, -1.5f);
        }
    }
    return dv;
}

matrix delta_batch_norm(matrix d, matrix dm, matrix dv, matrix mean, matrix variance, matrix x, int spatial)
{
    int i, j;
    matrix dx = make_matrix(d.rows, d.cols);
    for (i = 0; i < d.rows; ++i) {
        for (j = 0; j < d.cols; ++j) {
            int k = i * d.cols + j, c = j / spatial;
            dx.data[k] = d.data[k] * 1.f / sqrtf(variance.data[c] + FLT_EPSILON);
            dx.data[k] += dv.data[c] * 2.f * (x.data[k] - mean.data[c]) / (spatial * d.rows);
            dx.data[k] += dm.data[c] / (spatial * d.rows);
        }
    }
    return dx;
}

matrix batch_normalize_backward(layer l, matrix d)
{
    int spatial = d.cols / l.rolling_mean.cols;
    matrix x = l.x[0];
    matrix m = mean(x, spatial);
    matrix v = variance(x, m, spatial);
    matrix dm = delta_mean(d, v, spatial);
    matrix dv = delta_variance(d, x, m, v, spatial);
    matrix dx = delta_batch_norm(d, dm, dv, m, v, x, spatial);
    free_matrix(m);
    free_matrix(v);
    free_matrix(dm);
    free_matrix(dv);
    return dx;
}
