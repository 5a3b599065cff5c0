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
        a1 = np.mean(x, axis=0)
        a2 = x - a1
        a3 = a2 ** 2
        a4 = np.mean(a3, axis=0)
        a5 = np.sqrt(a4 + eps)
        a6 = 1 / a5
        a7 = a2 * a6
        a8 = a7 * gamma
        out = a8 + beta
        cache = (a2, a5, a6, a7, gamma)
        running_mean = momentum * running_mean + (1 - momentum) * a1
        running_var = momentum * running_var + (1 - momentum) * a4
    elif mode == 'test':
        out = (x - running_mean) / np.sqrt(running_var + eps) * gamma + beta
    else:
        raise ValueError('bad mode')
    bn_param['running_mean'] = running_mean
    bn_param['running_var'] = running_var
    return out, cache

def batchnorm_backward(dout, cache):
    a2, a5, a6, a7, gamma = cache
    N, D = dout.shape
    b8 = dout
    dbeta = b8.sum(axis=0)
    b7 = b8 * gamma
    dgamma = (b8 * a7).sum(axis=0)
    b6 = (b7 * a2).sum(axis=0)
    b2 = b7 * a6
    b5 = -b6 / a5 ** 2
    b4 = b5 / (2 * a5)
    b3 = np.ones((N, D)) * b4 / (N - 1)
    b2 = b2 + 2 * a2 * b3
    b1 = -b2.sum(axis=0)
    dx = b2 + b1 / N
    return dx, dgamma, dbeta
