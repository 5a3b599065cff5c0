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
        mean = np.mean(x, axis=0)
        var = np.var(x, axis=0)
        xhat = (x - mean) / np.sqrt(var + eps)
        out = gamma * xhat + beta
        cache = (xhat, var, gamma, eps)
        running_mean = momentum * running_mean + (1 - momentum) * mean
        running_var = momentum * running_var + (1 - momentum) * var
    elif mode == 'test':
        out = gamma * (x - running_mean) / np.sqrt(running_var + eps) + beta
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)
    bn_param['running_mean'] = running_mean
    bn_param['running_var'] = running_var
    return out, cache


def batchnorm_backward(dout, cache):
    xhat, var, gamma, eps = cache
    N, D = dout.shape
    dgamma = np.zeros(D)
    dbeta = np.zeros(D)
    sum_d = np.zeros(D)
    sum_dx = np.zeros(D)
    for i in range(N):
        dbeta += dout[i]
        dgamma = dout[i] * xhat[i]
        sum_d += dout[i] * gamma
        sum_dx += dout[i] * gamma * xhat[i]
    dx = np.array([(dout[i] * gamma - sum_d / N - xhat[i] * sum_dx / N) / np.sqrt(var + eps) for i in range(N)])
    return dx, dgamma, dbeta
