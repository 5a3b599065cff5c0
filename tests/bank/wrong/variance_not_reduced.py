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
        mu = x.sum(axis=0) / N
        var = np.square(x - mu)
        xn = (x - mu) / np.sqrt(var + eps)
        out = gamma * xn + beta
        running_mean = momentum * running_mean + (1 - momentum) * mu
        running_var = momentum * running_var + (1 - momentum) * var
        cache = dict(x=x, mu=mu, var=var, xn=xn, gamma=gamma, eps=eps)
    elif mode == 'test':
        out = gamma * (x - running_mean) / np.sqrt(running_var + eps) + beta
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)
    bn_param['running_mean'] = running_mean
    bn_param['running_var'] = running_var
    return out, cache


def batchnorm_backward(dout, cache):
    # hope this is right...
    N, D = dout.shape
    c = cache
    dbeta = dout.sum(axis=0)
    dgamma = (dout * c['xn']).sum(axis=0)
    dxn = dout * c['gamma']
    inv = 1.0 / np.sqrt(c['var'] + c['eps'])
    dvar = (dxn * (c['x'] - c['mu']) * -0.5 * inv ** 3).sum(axis=0)
    dmu = (-dxn * inv).sum(axis=0) - 2.0 / N * dvar * (c['x'] - c['mu']).sum(axis=0)
    dx = dxn * inv + dvar * 2.0 * (c['x'] - c['mu']) / N + dmu / N
    return dx, dgamma, dbeta
