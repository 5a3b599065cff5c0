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
        mean_x = np.zeros(D)
        for i in range(N):
            mean_x += x[i] / N
        var_x = np.zeros(D)
        for i in range(N):
            var_x += (x[i] - mean_x) ** 2 / N
        out = np.empty(x.shape)
        x_n = np.empty(x.shape)
        for i in range(N):
            x_n[i] = (x[i] - mean_x) / np.sqrt(var_x + eps)
            out[i] = gamma * x_n[i] + beta
        running_mean = momentum * running_mean + (1 - momentum) * mean_x
        running_var = momentum * running_var + (1 - momentum) * var_x
        cache = (x, x_n, mean_x, var_x, gamma, eps)
    elif mode == 'test':
        out = np.empty(x.shape)
        for i in range(N):
            x_n = (x[i] - running_mean) / (running_var + eps)
            out[i] = gamma * x_n + beta
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)
    bn_param['running_mean'] = running_mean
    bn_param['running_var'] = running_var
    return out, cache


def batchnorm_backward(dout, cache):
    x, x_n, mean_x, var_x, gamma, eps = cache
    N, D = x.shape
    dgamma = np.zeros(D)
    dbeta = np.zeros(D)
    dvar_x = np.zeros(D)
    dmean_x = np.zeros(D)
    dx = np.zeros((N, D))
    for i in range(N):
        dgamma += dout[i] * x_n[i]
        dbeta += dout[i]
        dx_n = dout[i] * gamma
        dvar_x += dx_n * (x[i] - mean_x) * -0.5 * (var_x + eps) ** -1.5
        dmean_x += -dx_n / np.sqrt(var_x + eps)
    for i in range(N):
        dx[i] = dout[i] * gamma / np.sqrt(var_x + eps) + dvar_x * 2 * (x[i] - mean_x) / N + dmean_x / N
    return dx, dgamma, dbeta
