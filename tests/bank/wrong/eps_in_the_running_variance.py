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
        cache['gamma'] = gamma
        cache['mu'] = np.mean(x, axis=0)
        cache['xc'] = x - cache['mu']
        cache['var'] = np.mean(cache['xc'] * cache['xc'], axis=0) + eps
        cache['std'] = np.sqrt(cache['var'])
        cache['xn'] = cache['xc'] / cache['std']
        out = gamma * cache['xn'] + beta
        running_mean = momentum * running_mean + (1.0 - momentum) * cache['mu']
        running_var = momentum * running_var + (1.0 - momentum) * cache['var']
    elif mode == 'test':
        out = gamma * ((x - running_mean) / np.sqrt(running_var + eps)) + beta
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)
    bn_param['running_mean'] = running_mean
    bn_param['running_var'] = running_var
    return out, cache


def batchnorm_backward(dout, cache):
    N = dout.shape[0]
    dbeta = dout.sum(axis=0)
    dgamma = np.sum(cache['xn'] * dout, axis=0)
    dxn = cache['gamma'] * dout
    dxc = dxn / cache['std']
    dstd = -np.sum((dxn * cache['xc']) / (cache['std'] * cache['std']), axis=0)
    dvar = 0.5 * dstd / cache['std']
    dxc += (2.0 / N) * cache['xc'] * dvar
    dmu = np.sum(dxc, axis=0)
    dx = dxc - dmu / N
    return dx, dgamma, dbeta
