import numpy as np
from math import sqrt


def batchnorm_forward(x, gamma, beta, bn_param):
    """ one feature at a time, so that I don't get lost in the axes """
    mode = bn_param['mode']
    eps = bn_param.get('eps', 1e-5)
    momentum = bn_param.get('momentum', 0.9)
    N, D = x.shape
    running_mean = bn_param.get('running_mean', np.zeros(D, dtype=x.dtype))
    running_var = bn_param.get('running_var', np.zeros(D, dtype=x.dtype))
    out = np.zeros_like(x)
    means = np.zeros(D)
    variances = np.zeros(D)

    if mode == 'train':
        for j in range(D):
            col = x[:, j]
            m = sum(col) / N
            v = sum((col - m) ** 2) / (N - 1)
            out[:, j] = gamma[j] * (col - m) / sqrt(v + eps) + beta[j]
            means[j] = m
            variances[j] = v
        bn_param['running_mean'] = momentum * running_mean + (1 - momentum) * means
        bn_param['running_var'] = momentum * running_var + (1 - momentum) * variances
    elif mode == 'test':
        for j in range(D):
            out[:, j] = gamma[j] * (x[:, j] - running_mean[j]) / sqrt(running_var[j] + eps) + beta[j]
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)
    cache = (x, gamma, means, variances, eps)
    return out, cache


def batchnorm_backward(dout, cache):
    x, gamma, means, variances, eps = cache
    N, D = x.shape
    dx = np.zeros_like(x)
    dgamma = np.zeros(D)
    dbeta = np.zeros(D)
    for j in range(D):
        s = sqrt(variances[j] + eps)
        c = x[:, j] - means[j]
        dcol = dout[:, j]
        dbeta[j] = sum(dcol)
        dgamma[j] = sum(dcol * c) / s
        dn = dcol * gamma[j]
        dv = -0.5 * sum(dn * c) / s ** 3
        dm = -sum(dn) / s
        dx[:, j] = dn / s + dv * 2 * c / (N - 1) + dm / N
    return dx, dgamma, dbeta
