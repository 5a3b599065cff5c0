import numpy as np


def update(old, new, momentum):
    # exponential moving average
    return (1 - momentum) * old + momentum * new


def normalize(x, mean, var, eps):
    return (x - mean) / np.sqrt(var + eps)


def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param['mode']
    eps = bn_param.get('eps', 1e-5)
    momentum = bn_param.get('momentum', 0.9)
    D = x.shape[1]
    bn_param.setdefault('running_mean', np.zeros(D, dtype=x.dtype))
    bn_param.setdefault('running_var', np.zeros(D, dtype=x.dtype))
    cache = None
    if mode == 'train':
        mean, var = np.mean(x, axis=0), np.var(x, axis=0)
        x_norm = normalize(x, mean, var, eps)
        bn_param['running_mean'] = update(bn_param['running_mean'], mean, momentum)
        bn_param['running_var'] = update(bn_param['running_var'], var, momentum)
        cache = (x, mean, var, x_norm, gamma, eps)
    elif mode == 'test':
        x_norm = normalize(x, bn_param['running_mean'], bn_param['running_var'], eps)
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)
    return gamma * x_norm + beta, cache


def batchnorm_backward(dout, cache):
    x, mean, var, x_norm, gamma, eps = cache
    N = x.shape[0]
    std = np.sqrt(var + eps)
    dx_norm = dout * gamma
    dvar = np.sum(dx_norm * (x - mean) * (-1 / 2) * (var + eps) ** (-3 / 2), axis=0)
    dmean = np.sum(dx_norm * (-1 / std), axis=0) + dvar * (np.sum(-2 * (x - mean), axis=0) / N)
    dx = dx_norm * (1 / std) + dvar * (2 * (x - mean) / N) + dmean * (1 / N)
    dgamma = np.sum(dout * x_norm, axis=0)
    dbeta = np.sum(dout, axis=0)
    return dx, dgamma, dbeta


def batchnorm_backward_alt(dout, cache):
    x, mean, var, x_norm, gamma, eps = cache
    N = x.shape[0]
    dgamma = np.sum(dout * x_norm, axis=0)
    dbeta = np.sum(dout, axis=0)
    dx = gamma / (N * np.sqrt(var + eps)) * (N * dout - dbeta - x_norm * dgamma)
    return dx, dgamma, dbeta
