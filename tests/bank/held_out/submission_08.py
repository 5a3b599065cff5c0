import numpy as np


def _get(bn_param, D, dtype):
    zeros = lambda: np.zeros(D, dtype=dtype)
    return bn_param.get('running_mean', zeros()), bn_param.get('running_var', zeros())


def _stats(x, eps):
    """mean and standard deviation of every column"""
    m = np.mean(x, axis=0)
    return m, np.sqrt(np.mean(np.square(x - m), axis=0) + eps)


def _average(old, new, momentum):
    return momentum * old + (1 - momentum) * new


def _affine(z, gamma, beta):
    return z * gamma + beta


def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param['mode']
    eps = bn_param.get('eps', 1e-5)
    momentum = bn_param.get('momentum', 0.9)
    running_mean, running_var = _get(bn_param, x.shape[1], x.dtype)
    cache = None
    if mode == 'train':
        m, s = _stats(x, eps)
        z = (x - m) / s
        out = _affine(z, gamma, beta)
        running_mean = _average(running_mean, m, momentum)
        running_var = _average(running_var, s, momentum)
        cache = (z, s, gamma)
    elif mode == 'test':
        z = (x - running_mean) / running_var
        out = _affine(z, gamma, beta)
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)
    bn_param['running_mean'] = running_mean
    bn_param['running_var'] = running_var
    return out, cache


def _remove_component(d, z):
    """take out of d what normalization does not let through"""
    return d - np.mean(d, axis=0) - z * np.mean(d * z, axis=0)


def batchnorm_backward(dout, cache):
    z, s, gamma = cache
    dz = dout * gamma
    return _remove_component(dz, z) / s, np.sum(dout * z, axis=0), np.sum(dout, axis=0)
