import numpy as np


def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param['mode']
    eps = bn_param.get('eps', 1e-5)
    momentum = bn_param.get('momentum', 0.9)
    N, D = x.shape
    running_mean = bn_param.get('running_mean', np.zeros(D, dtype=x.dtype))
    running_var = bn_param.get('running_var', np.zeros(D, dtype=x.dtype))
    out, cache = None, None
    if mode == 'train':
        mu = x.mean(axis=0)
        var = x.var(axis=0, ddof=1)
        x_centered = x - mu
        inv_std = (var + eps) ** -0.5
        x_norm = x_centered * inv_std
        out = x_norm * gamma + beta
        running_mean = momentum * running_mean + (1 - momentum) * mu
        running_var = momentum * running_var + (1 - momentum) * var
        cache = (x_centered, x_norm, inv_std, gamma)
    elif mode == 'test':
        out = gamma * (x - running_mean) * (running_var + eps) ** -0.5 + beta
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)
    bn_param['running_mean'] = running_mean
    bn_param['running_var'] = running_var
    return out, cache


def batchnorm_backward(dout, cache):
    x_centered, x_norm, inv_std, gamma = cache
    N = dout.shape[0]
    dgamma = (dout * x_norm).sum(axis=0)
    dbeta = dout.sum(axis=0)
    dx_norm = dout * gamma
    dinv_std = (dx_norm * x_centered).sum(axis=0)
    dvar = -0.5 * inv_std ** 3 * dinv_std
    dx_centered = dx_norm * inv_std + 2.0 / (N - 1) * dvar * x_centered
    dmu = -dx_centered.sum(axis=0)
    dx = dx_centered + dmu / N
    return dx, dgamma, dbeta
