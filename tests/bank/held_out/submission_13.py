import numpy as np


def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param['mode']
    eps = bn_param.get('eps', 1e-5)
    momentum = bn_param.get('momentum', 0.9)
    N, D = x.shape
    running_mean = bn_param.get('running_mean', np.zeros(D, dtype=x.dtype))
    running_var = bn_param.get('running_var', np.zeros(D, dtype=x.dtype))

    if mode == 'train':
        mu = np.sum(x, axis=0) / N
        dev = x - mu
        var = np.sum(dev ** 2, axis=0) / N
        std = np.sqrt(var + eps)
        xn = dev / std
        running_mean = momentum * running_mean
        running_mean += (1 - momentum) * mu
        running_var = momentum * running_var
        running_var += (1 - momentum) * var
    elif mode == 'test':
        xn = (x - running_mean) / np.sqrt(running_var + eps)
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)

    out = gamma * xn + beta
    cache = {'xn': xn, 'dev': dev, 'std': std, 'gamma': gamma}
    bn_param['running_mean'] = running_mean
    bn_param['running_var'] = running_var
    return out, cache


def batchnorm_backward(dout, cache):
    xn, dev, std, gamma = (cache[k] for k in ('xn', 'dev', 'std', 'gamma'))
    N = dout.shape[0]
    dxn = gamma * dout
    dstd = -np.sum(dxn * dev, axis=0) / (std * std)
    ddev = dxn / std + dstd / std * dev / N
    dmu = -np.sum(ddev, axis=0)
    dx = ddev + dmu / N
    dgamma = np.sum(xn * dout, axis=0)
    dbeta = np.sum(dout, axis=0)
    return dx, dgamma, dbeta
