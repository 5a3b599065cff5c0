import numpy as np


def _norm(x, axis, eps):
    mean = np.mean(x, axis=axis, keepdims=True)
    var = np.var(x, axis=axis, keepdims=True)
    return (x - mean) / np.sqrt(var + eps), mean, var


def _dnorm(dxhat, xhat, var, axis, eps):
    term1 = np.mean(dxhat, axis=axis, keepdims=True)
    term2 = xhat * np.mean(dxhat * xhat, axis=axis, keepdims=True)
    return (dxhat - term1 - term2) / np.sqrt(var + eps)


def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param['mode']
    eps = bn_param.get('eps', 1e-5)
    momentum = bn_param.get('momentum', 0.9)
    N, D = x.shape
    running_mean = bn_param.get('running_mean', np.zeros(D, dtype=x.dtype))
    running_var = bn_param.get('running_var', np.zeros(D, dtype=x.dtype))
    if mode == 'train':
        xhat, mean, var = _norm(x, 0, eps)
        running_mean = momentum * running_mean + (1 - momentum) * mean[0]
        running_var = momentum * running_var + (1 - momentum) * var[0]
        cache = (xhat, var, gamma, eps)
    elif mode == 'test':
        xhat = (x - running_mean) / np.sqrt(running_var + eps)
        cache = None
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)
    bn_param['running_mean'] = running_mean
    bn_param['running_var'] = running_var
    return gamma * xhat + beta, cache


def batchnorm_backward(dout, cache):
    xhat, var, gamma, eps = cache
    dgamma = np.sum(dout * xhat, axis=0)
    dbeta = np.sum(dout, axis=0)
    return _dnorm(dout * gamma, xhat, var, 0, eps), dgamma, dbeta


def layernorm_forward(x, gamma, beta, ln_param):
    eps = ln_param.get('eps', 1e-5)
    xhat, mean, var = _norm(x, 1, eps)
    return gamma * xhat + beta, (xhat, var, gamma, eps)


def layernorm_backward(dout, cache):
    xhat, var, gamma, eps = cache
    dgamma = np.sum(dout * xhat, axis=1)
    dbeta = np.sum(dout, axis=0)
    return _dnorm(dout * gamma, xhat, var, 1, eps), dgamma, dbeta
