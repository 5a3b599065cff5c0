import numpy as np


def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param['mode']
    eps = bn_param.get('eps', 1e-5)
    momentum = bn_param.get('momentum', 0.9)
    D = x.shape[1]
    running_mean = bn_param.get('running_mean', np.zeros(D, dtype=x.dtype))
    running_var = bn_param.get('running_var', np.zeros(D, dtype=x.dtype))
    if mode == 'train':
        mu, sigma2 = x.mean(axis=0), x.var(axis=0)
        bn_param['running_mean'] = momentum * running_mean + (1 - momentum) * mu
        bn_param['running_var'] = momentum * running_var + (1 - momentum) * sigma2
    elif mode == 'test':
        mu, sigma2 = running_mean, running_var
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)
    sigma = np.sqrt(sigma2 + eps)
    x_hat = (x - mu) / sigma
    return gamma * x_hat + beta, (x_hat, gamma, sigma)


def batchnorm_backward(dout, cache):
    x_hat, gamma, sigma = cache
    m = dout.shape[0]
    dgamma, dbeta = (dout * x_hat).sum(axis=0), dout.sum(axis=0)
    return gamma / sigma / m * (m * dout - dbeta - x_hat * dgamma), dgamma, dbeta


def spatial_groupnorm_forward(x, gamma, beta, G, gn_param):
    eps = gn_param.get('eps', 1e-5)
    N, C, H, W = x.shape
    # split the channels into groups, then it is layer norm of every group
    xg = x.reshape(N, C // G, G, H, W)
    mu = xg.mean(axis=(2, 3, 4), keepdims=True)
    sigma2 = xg.var(axis=(2, 3, 4), keepdims=True)
    sigma = np.sqrt(sigma2 + eps)
    x_hat = (xg - mu) / sigma
    out = gamma * x_hat.reshape(x.shape) + beta
    return out, (x_hat, gamma, sigma)


def spatial_groupnorm_backward(dout, cache):
    x_hat, gamma, sigma = cache
    axes = (2, 3, 4)
    dbeta = dout.sum(axis=(0, 2, 3), keepdims=True)
    dgamma = (dout * x_hat.reshape(dout.shape)).sum(axis=(0, 2, 3), keepdims=True)
    d = (dout * gamma).reshape(x_hat.shape)
    m = np.prod(d.shape[2:])
    dx = (d - d.sum(axis=axes, keepdims=True) / m - x_hat * (d * x_hat).sum(axis=axes, keepdims=True) / m) / sigma
    return dx.reshape(dout.shape), dgamma, dbeta
