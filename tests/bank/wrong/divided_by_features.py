import numpy as np

def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param['mode']
    eps = bn_param.get('eps', 1e-5)
    mom = bn_param.get('momentum', 0.9)
    if 'running_mean' not in bn_param:
        bn_param['running_mean'] = np.zeros(x.shape[1], dtype=x.dtype)
        bn_param['running_var'] = np.zeros(x.shape[1], dtype=x.dtype)
    if mode == 'test':
        inv = 1 / np.sqrt(bn_param['running_var'] + eps)
        return (x - bn_param['running_mean']) * inv * gamma + beta, None
    if mode != 'train':
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)
    mu, var = x.mean(0), x.var(0)
    bn_param['running_mean'] = mom * bn_param['running_mean'] + (1 - mom) * mu
    bn_param['running_var'] = mom * bn_param['running_var'] + (1 - mom) * var
    inv = 1 / np.sqrt(var + eps)
    xh = (x - mu) * inv
    return xh * gamma + beta, (xh, inv, gamma)

def batchnorm_backward(dout, cache):
    xh, inv, gamma = cache
    m = dout.shape[1]
    db, dg = dout.sum(0), (dout * xh).sum(0)
    dx = gamma * inv / m * (m * dout - db - xh * dg)
    return dx, dg, db
