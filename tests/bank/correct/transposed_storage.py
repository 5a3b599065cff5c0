import numpy as np


def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param['mode']
    eps = bn_param.get('eps', 1e-5)
    momentum = bn_param.get('momentum', 0.9)
    D = x.shape[1]
    running_mean = bn_param.get('running_mean', np.zeros(D, dtype=x.dtype))
    running_var = bn_param.get('running_var', np.zeros(D, dtype=x.dtype))
    if mode == 'train':
        out, cache, mean, var = core_forward(x.T, gamma[:, None], beta[:, None], eps)
        running_mean = momentum * running_mean + (1 - momentum) * mean.ravel()
        running_var = momentum * running_var + (1 - momentum) * var.ravel()
        out = out.T
    elif mode == 'test':
        out = gamma * (x - running_mean) / np.sqrt(running_var + eps) + beta
        cache = None
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)
    bn_param['running_mean'] = running_mean
    bn_param['running_var'] = running_var
    return out, cache


def core_forward(a, gamma, beta, eps):
    # normalizes the ROWS of a; batchnorm calls it with x.T and layernorm with x
    mean = np.mean(a, axis=1)[:, None]
    var = np.mean((a - mean) ** 2, axis=1)[:, None]
    a_norm = (a - mean) / np.sqrt(var + eps)
    return gamma * a_norm + beta, (a_norm, gamma, np.sqrt(var + eps)), mean, var


def core_backward(da, cache):
    a_norm, gamma, std = cache
    M = da.shape[1]
    da_norm = gamma * da
    return (da_norm - da_norm.sum(axis=1)[:, None] / M - a_norm * (da_norm * a_norm).sum(axis=1)[:, None] / M) / std


def batchnorm_backward(dout, cache):
    dx = core_backward(dout.T, cache).T
    dgamma = (dout.T * cache[0]).sum(axis=1)
    dbeta = dout.T.sum(axis=1)
    return dx, dgamma, dbeta


def layernorm_forward(x, gamma, beta, ln_param):
    out, cache, _, _ = core_forward(x, gamma, beta, ln_param.get('eps', 1e-5))
    return out, cache


def layernorm_backward(dout, cache):
    return core_backward(dout, cache), (dout * cache[0]).sum(axis=0), dout.sum(axis=0)
