import numpy as np


def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param['mode']
    eps = bn_param.get('eps', 1e-5)
    momentum = bn_param.get('momentum', 0.9)
    N, D = x.shape
    running_mean = bn_param.get('running_mean', np.zeros(D, dtype=x.dtype))
    running_var = bn_param.get('running_var', np.zeros(D, dtype=x.dtype))
    if mode == 'train':
        batch_mean = x.mean(axis=0)
        batch_var = x.var(axis=0)
        running_mean = momentum * running_mean + (1 - momentum) * batch_mean
        running_var = momentum * running_var + (1 - momentum) * batch_var
        norm = (x - batch_mean) / np.sqrt(batch_var + eps)
        cache = (norm, gamma, np.sqrt(batch_var + eps))
    elif mode == 'test':
        norm = (x - running_mean) / np.sqrt(running_var + eps)
        cache = None
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)
    out = gamma * norm + beta
    bn_param['running_mean'] = running_mean
    bn_param['running_var'] = running_var
    return out, cache


def batchnorm_backward(dout, cache):
    norm, gamma, std = cache
    N = dout.shape[0]
    dnorm = dout * gamma
    dx = (dnorm - dnorm.sum(axis=0) / N - norm * (dnorm * norm).sum(axis=0) / N) / std
    return dx, (dout * norm).sum(axis=0), dout.sum(axis=0)


def layernorm_forward(x, gamma, beta, ln_param):
    """ layer norm = batch norm of the transposed matrix """
    eps = ln_param.get('eps', 1e-5)
    xt = x.T
    ax = 1  # the features are averaged
    mu = xt.mean(axis=ax, keepdims=True)
    var = xt.var(axis=ax, keepdims=True)
    std = np.sqrt(var + eps)
    norm = (xt - mu) / std
    out = (gamma[:, None] * norm + beta[:, None]).T
    return out, (norm, gamma, std, ax)


def layernorm_backward(dout, cache):
    norm, gamma, std, ax = cache
    dt = dout.T
    dbeta = dt.sum(axis=1)
    dgamma = (dt * norm).sum(axis=1)
    dn = dt * gamma[:, None]
    dx = dn - dn.mean(axis=ax, keepdims=True) - norm * (dn * norm).mean(axis=ax, keepdims=True)
    dx = dx / std
    return dx.T, dgamma, dbeta
