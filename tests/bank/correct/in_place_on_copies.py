import numpy as np


def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param['mode']
    eps = bn_param.get('eps', 1e-5)
    momentum = bn_param.get('momentum', 0.9)
    N, D = x.shape
    running_mean = np.array(bn_param.get('running_mean', np.zeros(D, dtype=x.dtype)))
    running_var = np.array(bn_param.get('running_var', np.zeros(D, dtype=x.dtype)))
    x = x.copy()  # so that the caller keeps his own
    if mode == 'train':
        mu = x.mean(axis=0)
        x -= mu
        s = (x ** 2).mean(axis=0)
        running_mean *= momentum
        running_mean += (1 - momentum) * mu
        running_var *= momentum
        running_var += (1 - momentum) * s
        s += eps
        np.sqrt(s, out=s)
        x /= s
    elif mode == 'test':
        x -= running_mean
        s = np.sqrt(running_var + eps)
        x /= s
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)
    bn_param['running_mean'] = running_mean
    bn_param['running_var'] = running_var
    out = x * gamma
    out += beta
    return out, [x, s, gamma]


def batchnorm_backward(dout, cache):
    x, s, gamma = cache  # x is already normalized here
    dx = dout.copy()
    dbeta = dx.sum(axis=0)
    dx *= x
    dgamma = dx.sum(axis=0)
    dx[:] = x
    dx *= -dgamma
    dx -= dbeta
    dx /= len(dx)
    dx += dout
    dx *= gamma
    dx /= s
    return dx, dgamma, dbeta
