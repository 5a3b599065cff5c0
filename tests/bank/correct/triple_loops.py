import numpy as np


def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param['mode']
    eps = bn_param.get('eps', 1e-5)
    momentum = bn_param.get('momentum', 0.9)
    N, D = x.shape
    running_mean = bn_param.get('running_mean', np.zeros(D, dtype=x.dtype)).copy()
    running_var = bn_param.get('running_var', np.zeros(D, dtype=x.dtype)).copy()
    out = np.zeros((N, D))
    xhat = np.zeros((N, D))
    std = np.zeros(D)
    if mode == 'train':
        for j in range(D):
            mean = 0.0
            for i in range(N):
                mean += x[i][j]
            mean /= N
            var = 0.0
            for i in range(N):
                var += (x[i][j] - mean) ** 2
            var /= N
            std[j] = (var + eps) ** 0.5
            for i in range(N):
                xhat[i][j] = (x[i][j] - mean) / std[j]
                out[i][j] = gamma[j] * xhat[i][j] + beta[j]
            running_mean[j] = momentum * running_mean[j] + (1 - momentum) * mean
            running_var[j] = momentum * running_var[j] + (1 - momentum) * var
    elif mode == 'test':
        for i in range(N):
            for j in range(D):
                out[i][j] = gamma[j] * (x[i][j] - running_mean[j]) / (running_var[j] + eps) ** 0.5 + beta[j]
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)
    bn_param['running_mean'] = running_mean
    bn_param['running_var'] = running_var
    return out, (xhat, std, gamma)


def batchnorm_backward(dout, cache):
    # the full Jacobian, slow but I can see what happens:
    # d xhat_k / d x_i = (delta_ik - 1/N - xhat_k xhat_i / N) / std
    xhat, std, gamma = cache
    N, D = dout.shape
    dx = np.zeros((N, D))
    dgamma = np.zeros(D)
    dbeta = np.zeros(D)
    for j in range(D):
        for i in range(N):
            dgamma[j] += dout[i, j] * xhat[i, j]
            dbeta[j] += dout[i, j]
            for k in range(N):
                same = 1.0 if i == k else 0.0
                dx[i, j] += gamma[j] * dout[k, j] * (same - 1.0 / N - xhat[k, j] * xhat[i, j] / N) / std[j]
    return dx, dgamma, dbeta
