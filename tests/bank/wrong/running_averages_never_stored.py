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
        ones = np.ones((1, N))
        mean = ones.dot(x) / N
        diff = x - mean
        var = ones.dot(diff * diff) / N
        std = np.sqrt(var + eps)
        norm = diff / std
        out = norm * gamma + beta
        new_running_mean = momentum * running_mean + (1 - momentum) * mean[0]
        new_running_var = momentum * running_var + (1 - momentum) * var[0]
        cache = (ones, diff, std, norm, gamma)
    elif mode == 'test':
        out = (x - running_mean) / np.sqrt(running_var + eps) * gamma + beta
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)

    # Store the updated running means back into bn_param
    bn_param['running_mean'] = running_mean
    bn_param['running_var'] = running_var

    return out, cache


def batchnorm_backward(dout, cache):
    ones, diff, std, norm, gamma = cache
    N = ones.shape[1]
    dgamma = ones.dot(dout * norm).reshape(-1)
    dbeta = ones.dot(dout).reshape(-1)
    dnorm = dout * gamma
    dstd = ones.dot(dnorm * diff) * (-1 / std ** 2)
    dvar = dstd * 0.5 / std
    ddiff = dnorm / std + 2 * diff * ones.T.dot(dvar) / N
    dmean = -ones.dot(ddiff)
    dx = ddiff + ones.T.dot(dmean) / N
    return dx, dgamma, dbeta
