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
        xn = (x - mean) / np.sqrt(var + eps)
        out = gamma * xn + beta
        cache = (xn, gamma, np.sqrt(var + eps))
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
    xn, gamma, std = cache
    m = len(dout)
    dg = np.sum(dout * xn, axis=0)
    db = np.sum(dout, axis=0)
    return gamma / std * (dout - db / m - dg * xn / m), dg, db


def spatial_groupnorm_forward(x, gamma, beta, G, gn_param):
    eps = gn_param.get('eps', 1e-5)
    N, C, H, W = x.shape
    xg = x.reshape(N, C // G, G, H, W)
    mean = xg.mean(axis=(2, 3, 4), keepdims=True)
    var = xg.var(axis=(2, 3, 4), keepdims=True)
    std = np.sqrt(var + eps)
    xn = ((xg - mean) / std)
    out = xn.reshape(N, C, H, W) * gamma + beta
    return out, (xn, std, gamma)


def spatial_groupnorm_backward(dout, cache):
    xn, std, gamma = cache
    N, C, H, W = dout.shape
    dgamma = np.sum(dout * xn.reshape(N, C, H, W), axis=(0, 2, 3), keepdims=True)
    dbeta = np.sum(dout, axis=(0, 2, 3), keepdims=True)
    dxn = (dout * gamma).reshape(xn.shape)
    ax = (2, 3, 4)
    dx = (dxn - dxn.mean(axis=ax, keepdims=True) - xn * (dxn * xn).mean(axis=ax, keepdims=True)) / std
    return dx.reshape(N, C, H, W), dgamma, dbeta
