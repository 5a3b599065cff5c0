import numpy as np


def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param['mode']
    eps = bn_param.get('eps', 1e-5)
    momentum = bn_param.get('momentum', 0.9)
    N, D = x.shape
    running_mean = bn_param.get('running_mean', np.zeros(D, dtype=x.dtype))
    running_var = bn_param.get('running_var', np.zeros(D, dtype=x.dtype))
    if mode == 'train':
        w = np.full(N, 1.0 / N)
        m = np.einsum('n,nd->d', w, x)
        c = x - m
        v = np.einsum('n,nd,nd->d', w, c, c)
        r = (v + eps) ** -0.5
        h = np.einsum('nd,d->nd', c, r)
        out = np.einsum('nd,d->nd', h, gamma) + beta
        running_mean = momentum * running_mean + (1 - momentum) * m
        running_var = momentum * running_var + (1 - momentum) * v
        cache = (w, h, r, gamma)
    elif mode == 'test':
        out = np.einsum('nd,d,d->nd', x - running_mean, (running_var + eps) ** -0.5, gamma) + beta
        cache = None
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)
    bn_param['running_mean'] = running_mean
    bn_param['running_var'] = running_var
    return out, cache


def batchnorm_backward(dout, cache):
    w, h, r, gamma = cache
    dgamma = np.einsum('nd,nd->d', dout, h)
    dbeta = np.einsum('nd->d', dout)
    g = np.einsum('nd,d->nd', dout, gamma)
    dx = np.einsum('nd,d->nd', g - np.einsum('n,nd->d', w, g) - h * np.einsum('n,nd,nd->d', w, g, h), r)
    return dx, dgamma, dbeta


def layernorm_forward(x, gamma, beta, ln_param):
    eps = ln_param.get('eps', 1e-5)
    D = x.shape[1]
    c = x - np.einsum('nd->n', x)[:, None] / D
    r = (np.einsum('nd,nd->n', c, c) / D + eps) ** -0.5
    h = np.einsum('nd,n->nd', c, r)
    return np.einsum('nd,d->nd', h, gamma) + beta, (h, r, gamma)


def layernorm_backward(dout, cache):
    h, r, gamma = cache
    D = dout.shape[1]
    g = np.einsum('nd,d->nd', dout, gamma)
    dx = g - np.einsum('nd->n', g)[:, None] / D - h * np.einsum('nd,nd->n', g, h)[:, None] / D
    return np.einsum('nd,n->nd', dx, r), np.einsum('nd,nd->d', dout, h), np.einsum('nd->d', dout)
