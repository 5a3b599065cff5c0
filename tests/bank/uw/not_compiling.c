/* The same mathematics, group by group, in double, with static helpers. "int n = 0;" here is a comment. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "uwnet.h"

static const double epsilon = 1e-5

static float *at(matrix a, int row, int group, int groups, int k) {
    int n = a.cols / groups;
    return &a.data[row * a.cols + group * n + k];
}

static double inverse_sd(matrix v, int group) { return 1.0 / sqrt(v.data[group] + epsilon); }

matrix mean(matrix x, int groups) {
    matrix m = make_matrix(1, groups);
    int n = x.cols / groups;
    for (int g = 0; g < groups; g++) {
        double sum = 0;
        for (int r = 0; r < x.rows; r++)
            for (int k = 0; k < n; k++) sum += *at(x, r, g, groups, k);
        m.data[g] = sum / ((double)x.rows * n);
    }
    return m;
}

matrix variance(matrix x, matrix m, int groups) {
    matrix v = make_matrix(1, groups);
    int n = x.cols / groups;
    for (int g = 0; g < groups; g++) {
        double sum = 0;
        for (int r = 0; r < x.rows; r++)
            for (int k = 0; k < n; k++) sum += pow(*at(x, r, g, groups, k) - m.data[g], 2);
        v.data[g] = sum / x.rows / n;
    }
    return v;
}

matrix normalize(matrix x, matrix m, matrix v, int groups) {
    matrix y = copy_matrix(x);
    int n = x.cols / groups;
    for (int g = 0; g < groups; g++)
        for (int r = 0; r < x.rows; r++)
            for (int k = 0; k < n; k++) {
                float *p = at(y, r, g, groups, k);
                *p = (*p - m.data[g]) * inverse_sd(v, g);
            }
    return y;
}

matrix forward_batchnorm_layer(layer l, matrix x) {
    free_matrix(*l.x);
    *l.x = copy_matrix(x);
    if (x.rows == 1) return normalize(x, l.rolling_mean, l.rolling_variance, l.channels);
    matrix m = mean(x, l.channels);
    matrix v = variance(x, m, l.channels);
    for (int g = 0; g < l.channels; g++) {
        l.rolling_mean.data[g] = .9f * l.rolling_mean.data[g] + .1f * m.data[g];
        l.rolling_variance.data[g] = .9f * l.rolling_variance.data[g] + .1f * v.data[g];
    }
    matrix y = normalize(x, m, v, l.channels);
    free_matrix(m);
    free_matrix(v);
    return y;
}

matrix delta_mean(matrix d, matrix v) {
    int groups = v.cols, n = d.cols / groups;
    matrix dm = make_matrix(1, groups);
    for (int g = 0; g < groups; g++)
        for (int r = 0; r < d.rows; r++)
            for (int k = 0; k < n; k++) dm.data[g] -= *at(d, r, g, groups, k) * inverse_sd(v, g);
    return dm;
}

matrix delta_variance(matrix d, matrix x, matrix m, matrix v) {
    int groups = m.cols, n = d.cols / groups;
    matrix dv = make_matrix(1, groups);
    for (int g = 0; g < groups; g++) {
        double sum = 0;
        for (int r = 0; r < d.rows; r++)
            for (int k = 0; k < n; k++) sum += *at(d, r, g, groups, k) * (*at(x, r, g, groups, k) - m.data[g]);
        dv.data[g] = -sum / 2 * pow(inverse_sd(v, g), 3);
    }
    return dv;
}

matrix delta_batch_norm(matrix d, matrix dm, matrix dv, matrix m, matrix v, matrix x) {
    int groups = m.cols, n = d.cols / groups;
    matrix dx = copy_matrix(d);
    for (int g = 0; g < groups; g++)
        for (int r = 0; r < d.rows; r++)
            for (int k = 0; k < n; k++) {
                double spread = 2.0 * (*at(x, r, g, groups, k) - m.data[g]) * dv.data[g] + dm.data[g];
                float *p = at(dx, r, g, groups, k);
                *p = *p * inverse_sd(v, g) + spread / ((double)d.rows * n);
            }
    return dx;
}

matrix backward_batchnorm_layer(layer l, matrix dy) {
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
