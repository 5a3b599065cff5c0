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
        inv_std = (var + eps) ** -0.5
        x_centered = x - mean
        x_norm = x_centered * inv_std
        out = x_norm * gamma + beta
        running_mean = momentum * running_mean + (1 - momentum) * mean
        running_var = momentum * running_var + (1 - momentum) * var
        cache = (x_norm, x_centered, inv_std, gamma)
    elif mode == 'test':
        out = (x - running_mean) * (running_var + eps) ** -0.5 * gamma + beta
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)

    # Store the updated running means back into bn_param
    bn_param['running_mean'] = running_mean
    bn_param['running_var'] = running_var
    return out, cache


def batchnorm_backward(dout, cache):
    x_centered, x_norm, inv_std, gamma = cache
    N = dout.shape[0]

    dbeta = np.sum(dout, axis=0)
    dgamma = np.sum(dout * x_norm, axis=0)

    dx_norm = dout * gamma
    dinv_std = np.sum(dx_norm * x_centered, axis=0)
    dvar = -0.5 * dinv_std * inv_std ** 3
    dx_centered = dx_norm * inv_std + dvar * 2.0 / N * x_centered
    dx = dx_centered - np.mean(dx_centered, axis=0)
    return dx, dgamma, dbeta
