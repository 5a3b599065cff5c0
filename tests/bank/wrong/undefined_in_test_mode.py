import numpy as np


def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param['mode']
    eps = bn_param.get('eps', 1e-5)
    momentum = bn_param.get('momentum', 0.9)

    N, D = x.shape
    running_mean = bn_param.get('running_mean', np.zeros(D, dtype=x.dtype))
    running_var = bn_param.get('running_var', np.zeros(D, dtype=x.dtype))

    cache = ()
    if mode == 'train':
        X = x.T
        mean = X.mean(axis=1, keepdims=True)
        var = X.var(axis=1, keepdims=True)
        X_norm = (X - mean) / np.sqrt(var + eps)
        out = (X_norm * gamma[:, None] + beta[:, None]).T
        running_mean = momentum * running_mean + (1 - momentum) * mean[:, 0]
        running_var = momentum * running_var + (1 - momentum) * var[:, 0]
        cache = (X_norm, var, gamma, eps)
    elif mode == 'test':
        out = gamma * ((x - run_mean) / np.sqrt(running_var + eps)) + beta
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)

    bn_param['running_mean'] = running_mean
    bn_param['running_var'] = running_var
    return out, cache


def batchnorm_backward(dout, cache):
    # everything here is transposed (features are rows) because that is how we did it in the lecture
    X_norm, var, gamma, eps = cache
    dY = dout.T
    D, N = dY.shape
    dbeta = dY.sum(axis=1)
    dgamma = (dY * X_norm).sum(axis=1)
    dX_norm = dY * gamma[:, None]
    dX = dX_norm - dX_norm.mean(axis=1, keepdims=True) - X_norm * (dX_norm * X_norm).mean(axis=1, keepdims=True)
    dX = dX / np.sqrt(var + eps)
    return dX.T, dgamma, dbeta
