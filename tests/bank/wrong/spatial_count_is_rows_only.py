import numpy as np


def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param['mode']
    eps = bn_param.get('eps', 1e-5)
    momentum = bn_param.get('momentum', 0.9)
    N, D = x.shape
    running_mean = bn_param.get('running_mean', np.zeros(D, dtype=x.dtype))
    running_var = bn_param.get('running_var', np.zeros(D, dtype=x.dtype))
    out, cache = None, None
    if mode == 'train':
        mean, var = np.mean(x, axis=0), np.var(x, axis=0)
        xn = (x - mean) / np.sqrt(var + eps)
        out = gamma * xn + beta
        cache = (xn, var, gamma, eps)
        running_mean = momentum * running_mean + (1 - momentum) * mean
        running_var = momentum * running_var + (1 - momentum) * var
    elif mode == 'test':
        out = gamma * (x - running_mean) / np.sqrt(running_var + eps) + beta
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)
    bn_param['running_mean'] = running_mean
    bn_param['running_var'] = running_var
    return out, cache


def batchnorm_backward(dout, cache):
    xn, var, gamma, eps = cache
    N = len(dout)
    dgamma, dbeta = np.sum(dout * xn, axis=0), np.sum(dout, axis=0)
    return gamma / np.sqrt(var + eps) * (dout - dbeta / N - xn * dgamma / N), dgamma, dbeta


def spatial_batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param['mode']
    eps = bn_param.get('eps', 1e-5)
    momentum = bn_param.get('momentum', 0.9)
    N, C, H, W = x.shape
    running_mean = bn_param.get('running_mean', np.zeros(C, dtype=x.dtype))
    running_var = bn_param.get('running_var', np.zeros(C, dtype=x.dtype))
    g, b = gamma.reshape(1, C, 1, 1), beta.reshape(1, C, 1, 1)
    cache = None
    if mode == 'train':
        mean = np.mean(x, axis=(0, 2, 3)).reshape(1, C, 1, 1)
        var = np.var(x, axis=(0, 2, 3)).reshape(1, C, 1, 1)
        running_mean = momentum * running_mean + (1 - momentum) * mean.reshape(C)
        running_var = momentum * running_var + (1 - momentum) * var.reshape(C)
        xn = (x - mean) / np.sqrt(var + eps)
        cache = (x, mean, var, xn, g, eps)
    else:
        xn = (x - running_mean.reshape(1, C, 1, 1)) / np.sqrt(running_var.reshape(1, C, 1, 1) + eps)
    bn_param['running_mean'] = running_mean
    bn_param['running_var'] = running_var
    return g * xn + b, cache


def spatial_batchnorm_backward(dout, cache):
    x, mean, var, xn, g, eps = cache
    m = x.shape[0]
    dbeta = np.sum(dout, axis=(0, 2, 3))
    dgamma = np.sum(dout * xn, axis=(0, 2, 3))
    dxn = dout * g
    dvar = np.sum(dxn * (x - mean) * -0.5 * (var + eps) ** -1.5, axis=(0, 2, 3), keepdims=True)
    dmean = np.sum(-dxn / np.sqrt(var + eps), axis=(0, 2, 3), keepdims=True)
    dx = dxn / np.sqrt(var + eps) + dvar * 2 * (x - mean) / m + dmean / m
    return dx, dgamma, dbeta
