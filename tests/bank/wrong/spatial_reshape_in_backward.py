import numpy as np

def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param['mode']
    eps = bn_param.get('eps', 1e-5)
    momentum = bn_param.get('momentum', 0.9)
    D = x.shape[1]
    running_mean = bn_param.get('running_mean', np.zeros(D, dtype=x.dtype))
    running_var = bn_param.get('running_var', np.zeros(D, dtype=x.dtype))
    if mode == 'train':
        mean, var = x.mean(0), x.var(0)
        bn_param['running_mean'] = momentum * running_mean + (1 - momentum) * mean
        bn_param['running_var'] = momentum * running_var + (1 - momentum) * var
    elif mode == 'test':
        mean, var = running_mean, running_var
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)
    sd = np.sqrt(var + eps)
    z = (x - mean) / sd
    return gamma * z + beta, (z, sd, gamma)

def batchnorm_backward(dout, cache):
    z, sd, gamma = cache
    dz = gamma * dout
    dx = (dz - dz.mean(0) - z * (dz * z).mean(0)) / sd
    return dx, (dout * z).sum(0), dout.sum(0)

def to_2d(x):
    return np.moveaxis(x, 1, -1).reshape(-1, x.shape[1])

def spatial_batchnorm_forward(x, gamma, beta, bn_param):
    N, C, H, W = x.shape
    out, cache = batchnorm_forward(to_2d(x), gamma, beta, bn_param)
    return np.moveaxis(out.reshape(N, H, W, C), -1, 1), cache

def spatial_batchnorm_backward(dout, cache):
    dx, dgamma, dbeta = batchnorm_backward(to_2d(dout), cache)
    dx = dx.reshape(dout.shape)
    return dx, dgamma, dbeta
