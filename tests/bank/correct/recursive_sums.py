from functools import reduce
import operator

import numpy as np


def total(rows):
    """sum of the rows, half and half (less rounding error than one after the other)"""
    if len(rows) == 1:
        return rows[0]
    middle = len(rows) // 2
    return total(rows[:middle]) + total(rows[middle:])


def average(rows):
    return total(rows) / len(rows)


def chain(*factors):
    return reduce(operator.mul, factors)


def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param['mode']
    eps = bn_param.get('eps', 1e-5)
    momentum = bn_param.get('momentum', 0.9)
    D = x.shape[1]
    old = [bn_param.get(key, np.zeros(D, dtype=x.dtype)) for key in ('running_mean', 'running_var')]
    if mode == 'train':
        mean = average(x)
        var = average((x - mean) ** 2)
        new = [momentum * a + (1 - momentum) * b for a, b in zip(old, (mean, var))]
    elif mode == 'test':
        mean, var = old
        new = old
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)
    bn_param['running_mean'], bn_param['running_var'] = new
    inverse = (var + eps) ** -0.5
    xhat = chain(x - mean, inverse)
    return chain(xhat, gamma) + beta, {'xhat': xhat, 'inverse': inverse, 'gamma': gamma}


def batchnorm_backward(dout, cache):
    xhat, inverse, gamma = (cache[key] for key in ('xhat', 'inverse', 'gamma'))
    dbeta = total(dout)
    dgamma = total(chain(dout, xhat))
    dx = chain(dout - dbeta / len(dout) - chain(xhat, dgamma) / len(dout), gamma, inverse)
    return dx, dgamma, dbeta
