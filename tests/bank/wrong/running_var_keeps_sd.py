import numpy as np


def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param['mode']
    eps = bn_param.get('eps', 1e-5)
    momentum = bn_param.get('momentum', 0.9)
    N, D = x.shape
    running_mean = bn_param.get('running_mean', np.zeros(D, dtype=x.dtype))
    running_var = bn_param.get('running_var', np.zeros(D, dtype=x.dtype))

    if mode == 'train':
        mu = x.mean(0, keepdims=True)
        std = np.sqrt(((x - mu) ** 2).mean(0, keepdims=True) + eps)
        z = (x - mu) / std
        out = gamma * z + beta
        running_mean = momentum * running_mean + (1 - momentum) * mu.ravel()
        running_var = momentum * running_var + (1 - momentum) * std.ravel()
        cache = z, std, gamma
    elif mode == 'test':
        z = (x - running_mean) / running_var
        out = gamma * z + beta
        cache = None
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)

    bn_param['running_mean'] = running_mean
    bn_param['running_var'] = running_var
    return out, cache


def batchnorm_backward(dout, cache):
    z, std, gamma = cache
    dgamma = (dout * z).sum(0)
    dbeta = dout.sum(0)
    dz = dout * gamma
    dx = (dz - dz.mean(0, keepdims=True) - z * (dz * z).mean(0, keepdims=True)) / std
    return dx, dgamma, dbeta
