import numpy as np

def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param['mode']
    eps = bn_param.get('eps', 1e-5)
    momentum = bn_param.get('momentum', 0.9)
    N, D = x.shape
    running_mean = bn_param.get('running_mean', np.zeros(D, dtype=x.dtype))
    running_var = bn_param.get('running_var', np.zeros(D, dtype=x.dtype))
    if mode == 'train':
        m, v = x.mean(axis=0), x.var(axis=0)
        running_mean = momentum * running_mean + (1 - momentum) * m
        running_var = momentum * running_var + (1 - momentum) * v
    elif mode == 'test':
        m, v = running_mean, running_var
    else:
        raise ValueError(mode)
    bn_param['running_mean'], bn_param['running_var'] = running_mean, running_var
    n = (x - m) / (v + eps) ** .5
    return gamma * n + beta, (n, v + eps, gamma)

def batchnorm_backward(dout, cache):
    n, v, gamma = cache
    g = dout * gamma
    return (g - g.mean(axis=0) - n * (g * n).mean(axis=0)) / v ** .5, (dout * n).sum(axis=0), dout.sum(axis=0)

def layernorm_forward(x, gamma, beta, ln_param):
    eps = ln_param.get('eps', 1e-5)
    m = x.mean(axis=1)
    c = x - m
    v = (c ** 2).mean(axis=1, keepdims=True)
    n = c / (v + eps) ** .5
    return gamma * n + beta, (n, v + eps, gamma)

def layernorm_backward(dout, cache):
    n, v, gamma = cache
    g = dout * gamma
    dx = (g - g.mean(axis=1, keepdims=True) - n * (g * n).mean(axis=1, keepdims=True)) / v ** .5
    return dx, (dout * n).sum(axis=0), dout.sum(axis=0)
