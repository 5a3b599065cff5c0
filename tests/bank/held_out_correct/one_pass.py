import numpy as np

# Welford's running update: mean and variance in one go over the examples


def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param['mode']
    eps = bn_param.get('eps', 1e-5)
    momentum = bn_param.get('momentum', 0.9)
    D = len(x[0])
    if mode == 'train':
        mean = np.zeros(D)
        m2 = np.zeros(D)
        n = 0
        for row in x:
            n += 1
            delta = row - mean
            mean = mean + delta / n
            m2 = m2 + delta * (row - mean)
        var = m2 / n
        bn_param['running_mean'] = momentum * bn_param.get('running_mean', 0 * mean) + (1 - momentum) * mean
        bn_param['running_var'] = momentum * bn_param.get('running_var', 0 * var) + (1 - momentum) * var
    elif mode == 'test':
        mean = bn_param.get('running_mean', np.zeros(D))
        var = bn_param.get('running_var', np.zeros(D))
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)
    k = gamma / np.sqrt(var + eps)
    out = np.array([k * (row - mean) + beta for row in x])
    return out, dict(x=x, mean=mean, var=var, eps=eps, gamma=gamma)


def batchnorm_backward(dout, cache):
    x, mean, q = cache['x'], cache['mean'], cache['var'] + cache['eps']
    n = 0
    plain = 0
    weighted = 0
    for row, d in zip(x, dout):
        n += 1
        plain = plain + d
        weighted = weighted + d * (row - mean)
    k = cache['gamma'] / np.sqrt(q)
    dx = np.array([k * (d - plain / n - (row - mean) * weighted / (n * q)) for row, d in zip(x, dout)])
    return dx, weighted / np.sqrt(q), plain
