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
        sample_mean = x.mean(axis=0)
        sample_var = x.var(axis=0)
        x_norm = (x - sample_mean) / np.sqrt(sample_var + eps)
        out = x_norm * gamma + beta
        cache = x_norm, sample_var + eps, gamma
        running_mean = momentum * running_mean + (1 - momentum) * sample_mean
        running_var = momentum * running_var + (1 - momentum) * sample_var
    elif mode == 'test':
        out = (x - running_mean) / np.sqrt(running_var + eps) * gamma + beta
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)
    bn_param['running_mean'] = running_mean
    bn_param['running_var'] = running_var
    return out, cache

def batchnorm_backward(dout, cache):
    x_norm, v, gamma = cache
    N = dout.shape[0]
    dgamma = (dout * x_norm).sum(axis=0)
    dbeta = dout.sum(axis=0)
    dx = gamma / np.sqrt(v) / N * (N * dout - dbeta - x_norm * dgamma)
    return dx, dgamma, dbeta

def spatial_groupnorm_forward(x, gamma, beta, G, gn_param):
    eps = gn_param.get('eps', 1e-5)
    N, C, H, W = x.shape
    # every group of every sample is one row
    rows = x.reshape(N * G, -1)
    mean = rows.mean(axis=1, keepdims=True)
    var = rows.var(axis=1, keepdims=True)
    norm = ((rows - mean) / np.sqrt(var + eps))
    out = norm.reshape(x.shape) * gamma + beta
    cache = (norm, var, gamma, eps, G)
    return out, cache

def spatial_groupnorm_backward(dout, cache):
    norm, var, gamma, eps, G = cache
    N, C, H, W = dout.shape
    M = C * H * W
    dbeta = dout.sum(axis=(0, 2, 3), keepdims=True)
    dgamma = (dout * norm.reshape(dout.shape)).sum(axis=(0, 2, 3), keepdims=True)
    dnorm = (dout * gamma).reshape(N * G, -1)
    s1 = dnorm.sum(axis=1, keepdims=True)
    s2 = (dnorm * norm).sum(axis=1, keepdims=True)
    dx = (dnorm - s1 / M - norm * s2 / M) / np.sqrt(var + eps)
    return dx.reshape(N, C, H, W), dgamma, dbeta
