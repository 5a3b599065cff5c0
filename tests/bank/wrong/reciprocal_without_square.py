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
        mean = x.mean(axis=0, keepdims=True)
        diff = x - mean
        variance = np.mean(np.power(diff, 2), axis=0, keepdims=True)
        sigma = np.sqrt(variance + eps)
        inv_sigma = np.power(sigma, -1)
        normed = diff * inv_sigma
        out = normed * gamma.reshape(1, -1) + beta.reshape(1, -1)
        cache = [diff, sigma, inv_sigma, normed, gamma.reshape(1, -1)]
        running_mean = momentum * running_mean + (1 - momentum) * mean.flatten()
        running_var = momentum * running_var + (1 - momentum) * variance.flatten()
    elif mode == 'test':
        out = gamma * (x - running_mean) / np.sqrt(running_var + eps) + beta
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)
    bn_param['running_mean'] = running_mean
    bn_param['running_var'] = running_var
    return out, cache


def batchnorm_backward(dout, cache):
    diff, sigma, inv_sigma, normed, gamma = cache
    N = dout.shape[0]
    dbeta = np.sum(dout, axis=0)
    dgamma = np.sum(dout * normed, axis=0)
    dnormed = dout * gamma
    dinv_sigma = np.sum(dnormed * diff, axis=0, keepdims=True)
    dsigma = dinv_sigma * -np.power(sigma, -1)
    dvariance = dsigma * 0.5 / sigma
    ddiff = dnormed * inv_sigma + dvariance / N * 2 * diff
    dmean = np.sum(ddiff, axis=0, keepdims=True) * -1
    dx = ddiff + dmean / N
    return dx, dgamma, dbeta
