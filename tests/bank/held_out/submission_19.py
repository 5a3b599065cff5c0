import numpy as np


def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param['mode']
    eps = bn_param.get('eps', 1e-5)
    momentum = bn_param.get('momentum', 0.9)
    N, D = x.shape
    running_mean = bn_param.get('running_mean', np.zeros(D, dtype=x.dtype))
    running_var = bn_param.get('running_var', np.zeros(D, dtype=x.dtype))
    cache = {}
    if mode == 'train':
        mean = np.sum(x, axis=0) / float(N)
        shifted = x - mean
        var = np.mean(shifted ** 2)
        print('batch mean', mean[:3])
        denominator = np.sqrt(var + eps)
        normal = shifted / denominator
        out = gamma * normal + beta
        cache['shifted'] = shifted
        cache['denominator'] = denominator
        cache['normal'] = normal
        cache['gamma'] = gamma
        cache['N'] = N
        running_mean = momentum * running_mean + (1 - momentum) * mean
        running_var = momentum * running_var + (1 - momentum) * var
    elif mode == 'test':
        normal = (x - running_mean) / np.sqrt(running_var + eps)
        out = gamma * normal + beta
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)
    bn_param['running_mean'] = running_mean
    bn_param['running_var'] = running_var
    return out, cache


def batchnorm_backward(dout, cache):
    N = cache['N']
    dbeta = dout.sum(axis=0)
    dgamma = (cache['normal'] * dout).sum(axis=0)
    dnormal = cache['gamma'] * dout
    dshifted = dnormal / cache['denominator']
    ddenominator = (dnormal * -cache['shifted'] / cache['denominator'] ** 2).sum(axis=0)
    dvar = ddenominator * 0.5 / cache['denominator']
    dshifted = dshifted + 2.0 / N * cache['shifted'] * dvar
    dmean = -dshifted.sum(axis=0)
    dx = dshifted + dmean / N
    return dx, dgamma, dbeta
