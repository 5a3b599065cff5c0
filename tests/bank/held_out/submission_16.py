import numpy as np


def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param['mode']
    eps = bn_param.get('eps', 1e-5)
    momentum = bn_param.get('momentum', 0.9)
    N, D = x.shape
    running_mean = bn_param.get('running_mean', np.zeros(D, dtype=x.dtype))
    running_var = bn_param.get('running_var', np.zeros(D, dtype=x.dtype))

    if mode == 'train':
        t = x.sum(axis=0)
        t /= N
        running_mean = momentum * running_mean + (1 - momentum) * t
        out = x - t
        t = (out * out).sum(axis=0)
        t /= N
        running_var = momentum * running_var + (1 - momentum) * t
        t += eps
        t = np.sqrt(t)
        out /= t
        bn_param['xhat'] = out.copy()
        bn_param['std'] = t
        bn_param['gamma'] = gamma
    elif mode == 'test':
        out = x - running_mean
        out /= np.sqrt(running_var + eps)
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)
    out *= gamma
    out += beta

    bn_param['running_mean'] = running_mean
    bn_param['running_var'] = running_var
    return out, bn_param


def batchnorm_backward(dout, cache):
    # saves memory: dx is built up in place
    xhat = cache['xhat']
    N = dout.shape[0]
    dbeta = dout.sum(axis=0)
    dx = dout
    dx *= cache['gamma']
    t = dx.sum(axis=0)
    t2 = (dx * xhat).sum(axis=0)
    t /= N
    t2 /= N
    dgamma = (dout * xhat).sum(axis=0)
    dx -= t
    dx -= xhat * t2
    dx /= cache['std']
    return dx, dgamma, dbeta
