import numpy as np

def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param['mode']
    eps = bn_param.get('eps', 1e-5)
    momentum = bn_param.get('momentum', 0.9)
    N, D = x.shape
    running_mean = bn_param.get('running_mean', np.zeros(D, dtype=x.dtype))
    running_var = bn_param.get('running_var', np.zeros(D, dtype=x.dtype))
    cache = None
    if mode == 'train':
        foo = x.mean(axis=0)
        foo2 = x - foo
        foo3 = (foo2 ** 2).mean(axis=0)
        foo4 = np.sqrt(foo3 + eps)
        foo5 = foo2 / foo4
        out = foo5 * gamma + beta
        cache = (gamma, foo2, foo4, foo5)
        running_mean = momentum * running_mean + (1 - momentum) * foo
        running_var = momentum * running_var + (1 - momentum) * foo3
    elif mode == 'test':
        out = (x - running_mean) / np.sqrt(running_var + eps) * gamma + beta
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)
    bn_param['running_mean'] = running_mean
    bn_param['running_var'] = running_var
    return out, cache

def batchnorm_backward(dout, cache):
    gamma, foo2, foo4, foo5 = cache
    m = foo2.shape[0]
    dbeta = dout.sum(axis=0)
    dgamma = (dout * foo5).sum(axis=0)
    d = dout * gamma
    d4 = (d * foo2 * -1 / foo4 ** 2).sum(axis=0)
    d = d / foo4
    d3 = d4 / foo4
    d = d + d3 * 2 * foo2 / m
    d = d - d.sum(axis=0) / m
    return d, dgamma, dbeta
