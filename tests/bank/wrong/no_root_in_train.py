import numpy as np


def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param['mode']
    eps = bn_param.get('eps', 1e-5)
    momentum = bn_param.get('momentum', 0.9)
    n, d = x.shape
    running_mean = bn_param.get('running_mean', np.zeros(d, dtype=x.dtype))
    running_var = bn_param.get('running_var', np.zeros(d, dtype=x.dtype))
    out = np.zeros((n, d))
    cache = None
    if mode == 'train':
        xhat = np.zeros((n, d))
        inv = np.zeros(d)
        new_mean = np.zeros(d)
        new_var = np.zeros(d)
        for j in range(d):
            total = 0.0
            for i in range(n):
                total += x[i, j]
            new_mean[j] = total / n
            total = 0.0
            for i in range(n):
                total += (x[i, j] - new_mean[j]) * (x[i, j] - new_mean[j])
            new_var[j] = total / n
            inv[j] = 1.0 / (new_var[j] + eps)
            for i in range(n):
                xhat[i, j] = (x[i, j] - new_mean[j]) * inv[j]
                out[i, j] = gamma[j] * xhat[i, j] + beta[j]
        running_mean = momentum * running_mean + (1 - momentum) * new_mean
        running_var = momentum * running_var + (1 - momentum) * new_var
        cache = (xhat, inv, gamma)
    elif mode == 'test':
        for i in range(n):
            for j in range(d):
                out[i, j] = gamma[j] * (x[i, j] - running_mean[j]) / (running_var[j] + eps) ** 0.5 + beta[j]
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)
    bn_param['running_mean'] = running_mean
    bn_param['running_var'] = running_var
    return out, cache


def batchnorm_backward(dout, cache):
    xhat, inv, gamma = cache
    n, d = dout.shape
    dx = np.zeros((n, d))
    dgamma = np.zeros(d)
    dbeta = np.zeros(d)
    for j in range(d):
        for i in range(n):
            dgamma[j] += dout[i, j] * xhat[i, j]
            dbeta[j] += dout[i, j]
        for i in range(n):
            dx[i, j] = gamma[j] * inv[j] * (dout[i, j] - dbeta[j] / n - xhat[i, j] * dgamma[j] / n)
    return dx, dgamma, dbeta
