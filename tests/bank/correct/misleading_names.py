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
        mu = np.sum(x, axis=0)  # not divided yet
        var = np.sum((N * x - mu) ** 2, axis=0)  # N^3 times the variance
        std = N * np.sqrt(var / N ** 3 + eps)
        xhat = N * x - mu  # not divided yet
        out = gamma * xhat / std + beta
        running_mean = momentum * running_mean + (1 - momentum) * mu / N
        running_var = momentum * running_var + (1 - momentum) * var / N ** 3
        cache = (xhat, std, gamma)
    elif mode == 'test':
        out = gamma * (x - running_mean) / np.sqrt(running_var + eps) + beta
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)
    bn_param['running_mean'] = running_mean
    bn_param['running_var'] = running_var
    return out, cache

def batchnorm_backward(dout, cache):
    xhat, std, gamma = cache
    N = dout.shape[0]
    dbeta = np.sum(dout, axis=0)
    dgamma = np.sum(dout * xhat, axis=0) / std
    dxhat = gamma * dout / std          # for the unnormalized one, 1/N of what you would expect
    dvar = np.sum(dxhat * xhat, axis=0)  # this is dstd times -std really
    dmu = np.sum(dxhat, axis=0)          # and minus that
    dx = N * dxhat - dmu - xhat * dvar / std ** 2
    return dx, dgamma, dbeta
