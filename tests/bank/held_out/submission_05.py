import numpy as np


def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param['mode']
    eps = bn_param.get('eps', 1e-5)
    momentum = bn_param.get('momentum', 0.9)
    N, D = x.shape
    running_mean = bn_param.get('running_mean', np.zeros(D, dtype=x.dtype))
    running_var = bn_param.get('running_var', np.zeros(D, dtype=x.dtype))

    out = np.empty(x.shape)
    if mode == 'test':
        for i in range(N):
            out[i] = gamma * (x[i] - running_mean) / np.sqrt(running_var + eps) + beta
        return out, None
    if mode != 'train':
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)

    mean = np.zeros(D)
    for i in range(N):
        mean += x[i]
    mean /= N

    var = np.zeros(D)
    for i in range(N):
        var += (x[i] - mean) * (x[i] - mean)
    var /= N

    std = np.sqrt(var + eps)
    for i in range(N):
        out[i] = gamma * (x[i] - mean) / std + beta

    bn_param['running_mean'] = momentum * running_mean + (1 - momentum) * mean
    bn_param['running_var'] = momentum * running_var + (1 - momentum) * var
    return out, (x, mean, std, gamma)


def batchnorm_backward(dout, cache):
    x, mean, std, gamma = cache
    N, D = x.shape

    # first loop: everything that is summed over the batch
    dgamma = np.zeros(D)
    dbeta = np.zeros(D)
    dstd = np.zeros(D)
    dmean = np.zeros(D)
    for i in range(N):
        centered = x[i] - mean
        dnorm = dout[i] * gamma
        dbeta += dout[i]
        dgamma += dout[i] * centered
        dstd += dnorm * centered
        dmean += dnorm / std
    dstd = -dstd / std ** 2
    dvar = dstd / (2 * std)

    # second loop: give every example its share
    dx = np.zeros((N, D))
    for i in range(N):
        dx[i] += dout[i] * gamma / std
        dx[i] += dvar * 2 * (x[i] - mean) / N
        dx[i] -= dmean / N
    return dx, dgamma, dbeta
