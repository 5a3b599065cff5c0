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
        mu = np.mean(x, axis=0, keepdims=True)
        xmu = x - mu
        var = np.mean(xmu ** 2, axis=0, keepdims=True)
        ivar = 1. / np.sqrt(var + eps)
        xhat = xmu * ivar
        out = gamma * xhat + beta
        cache['xhat'], cache['ivar'], cache['gamma'] = xhat, ivar, gamma
        running_mean = momentum * running_mean + (1 - momentum) * np.squeeze(mu, 0)
        running_var = momentum * running_var + (1 - momentum) * np.squeeze(var, 0)
    elif mode == 'test':
        out = gamma * (x - running_mean) / np.sqrt(running_var + eps) + beta
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)
    bn_param['running_mean'] = running_mean
    bn_param['running_var'] = running_var
    return out, cache


def batchnorm_backward(dout, cache):
    xhat, ivar, gamma = cache['xhat'], cache['ivar'], cache['gamma']
    N, D = dout.shape
    dgamma = np.sum(dout * xhat, axis=0)
    dbeta = np.sum(dout, axis=0)
    dxhat = dout * gamma
    # xhat = xmu * ivar
    dxmu = dxhat * ivar
    # xmu = x - mu
    dmu = -np.sum(dxmu, axis=0)
    dx = dxmu + dmu / N
    return dx, dgamma, dbeta
