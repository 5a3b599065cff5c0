import numpy as np

def batchnorm_forward(x, gamma, beta, bn_param):
    mode, eps, momentum = bn_param['mode'], bn_param.get('eps', 1e-5), bn_param.get('momentum', 0.9)
    rm = bn_param.get('running_mean', np.zeros(x.shape[1], dtype=x.dtype))
    rv = bn_param.get('running_var', np.zeros(x.shape[1], dtype=x.dtype))
    if mode == 'train':
        mu = x.mean(axis=0)
        var = x.var(axis=0)
        rm = momentum * rm + (1 - momentum) * mu
        rv = momentum * rv + (1 - momentum) * var
    elif mode == 'test':
        mu, var = rm, rv
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)
    bn_param['running_mean'], bn_param['running_var'] = rm, rv
    x_hat = (x - mu) / np.sqrt(var + eps)
    return gamma * x_hat + beta, (x, gamma, eps)

def batchnorm_backward(dout, cache):
    x, gamma, eps = cache
    # recompute everything here, saves memory in the cache
    m = x.shape[0]
    mu = x.mean(axis=0)
    var = x.var(axis=0)
    istd = 1.0 / np.sqrt(var)
    x_hat = (x - mu) * istd

    dgamma = np.sum(dout * x_hat, axis=0)
    dbeta = np.sum(dout, axis=0)
    dx_hat = dout * gamma
    dvar = np.sum(dx_hat * (x - mu), axis=0) * -0.5 * istd ** 3
    dmu = np.sum(-dx_hat * istd, axis=0)
    dx = dx_hat * istd + dvar * 2 * (x - mu) / m + dmu / m
    return dx, dgamma, dbeta
