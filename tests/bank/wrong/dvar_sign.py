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
        running_mean = np.array(running_mean)
        running_var = np.array(running_var)
        mu, var = np.zeros(D), np.zeros(D)
        xhat = np.zeros_like(x)
        for d in range(D):
            mu[d] = np.mean(x[:, d])
            var[d] = np.var(x[:, d])
            xhat[:, d] = (x[:, d] - mu[d]) / np.sqrt(var[d] + eps)
            running_mean[d] = momentum * running_mean[d] + (1 - momentum) * mu[d]
            running_var[d] = momentum * running_var[d] + (1 - momentum) * var[d]
        out = gamma * xhat + beta
        cache = (x, mu, var, xhat, gamma, eps)
    elif mode == 'test':
        out = gamma * (x - running_mean) / np.sqrt(running_var + eps) + beta
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)
    bn_param['running_mean'] = running_mean
    bn_param['running_var'] = running_var
    return out, cache


def batchnorm_backward(dout, cache):
    x, mu, var, xhat, gamma, eps = cache
    N, D = x.shape
    dx = np.zeros_like(dout)
    dgamma = np.zeros(D)
    dbeta = np.zeros(D)
    for d in range(D):
        # work with one column at a time
        g = dout[:, d]
        c = x[:, d] - mu[d]
        s = np.sqrt(var[d] + eps)
        dbeta[d] = g.sum()
        dgamma[d] = g.dot(xhat[:, d])
        dh = g * gamma[d]
        dv = 0.5 * s ** -3 * dh.dot(c)
        dm = -dh.sum() / s
        dx[:, d] = dh / s + dv * 2 * c / N + dm / N
    return dx, dgamma, dbeta
