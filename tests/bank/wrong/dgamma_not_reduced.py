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
        mean = x.mean(axis=0)
        std = np.sqrt(x.var(axis=0) + eps)
        x_hat = (x - mean) / std
        out = gamma * x_hat + beta
        cache = {'x_hat': x_hat, 'std': std, 'gamma': gamma, 'N': N}
        running_mean = momentum * running_mean + (1 - momentum) * mean
        running_var = momentum * running_var + (1 - momentum) * x.var(axis=0)
    elif mode == 'test':
        out = gamma * (x - running_mean) / np.sqrt(running_var + eps) + beta
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)
    bn_param['running_mean'] = running_mean
    bn_param['running_var'] = running_var
    return out, cache


def batchnorm_backward(dout, cache):
    x_hat = cache.get('x_hat')
    std = cache.get('std')
    gamma = cache.get('gamma')
    N = cache.get('N')

    dgamma = dout * x_hat
    dbeta = np.sum(dout, axis=0)

    dx_hat = dout * gamma
    dstd = np.sum(-dx_hat * x_hat / std, axis=0)
    dx_c = dx_hat / std + x_hat * dstd / N
    dx = dx_c - np.sum(dx_c, axis=0) / N
    return dx, dgamma, dbeta
