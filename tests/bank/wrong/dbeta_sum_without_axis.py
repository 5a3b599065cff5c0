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
        mean = (x.sum(axis=0) / N)
        var = ((x - mean) ** 2).sum(axis=0) / N
        y = (x - mean) / np.sqrt(var + eps)
        out = gamma * y + beta
        cache = (y, gamma, var + eps)
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
    y, gamma, v = cache
    N = y.shape[0]
    dbeta = dout.sum()
    dgamma = (dout * y).sum(axis=0)
    dy = dout * gamma
    # center and project
    dy = dy - dy.mean(axis=0)
    dy = dy - y * (dy * y).sum(axis=0) / N
    return dy / np.sqrt(v), dgamma, dbeta
