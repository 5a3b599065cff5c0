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
        mean = np.mean(x, 0)
        centered = x - mean
        variance = np.mean(centered ** 2, 0)
        deviation = np.sqrt(variance + eps)
        normalized = centered - deviation
        out = gamma * normalized + beta
        running_mean = momentum * running_mean + (1 - momentum) * mean
        running_var = momentum * running_var + (1 - momentum) * variance
        cache = (centered, deviation, normalized, gamma)
    elif mode == 'test':
        normalized = (x - running_mean) / np.sqrt(running_var + eps)
        out = gamma * normalized + beta
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)
    bn_param['running_mean'] = running_mean
    bn_param['running_var'] = running_var
    return out, cache


def batchnorm_backward(dout, cache):
    centered, deviation, normalized, gamma = cache
    N = centered.shape[0]
    dbeta = np.sum(dout, 0)
    dgamma = np.sum(dout * normalized, 0)
    dnormalized = dout * gamma
    ddeviation = np.sum(dnormalized * -centered / deviation ** 2, 0)
    dvariance = ddeviation / (2 * deviation)
    dcentered = dnormalized / deviation + dvariance * 2 * centered / N
    dmean = -np.sum(dcentered, 0)
    dx = dcentered + dmean / N
    return dx, dgamma, dbeta
