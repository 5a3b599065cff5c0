import numpy as np


def batchnorm_forward(x, gamma, beta, bn_param):
    out, cache = spatial_batchnorm_forward(x[:, :, None, None], gamma, beta, bn_param)
    return out[:, :, 0, 0], cache


def batchnorm_backward(dout, cache):
    dx, dgamma, dbeta = spatial_batchnorm_backward(dout[:, :, None, None], cache)
    return dx[:, :, 0, 0], dgamma, dbeta


def spatial_batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param['mode']
    eps = bn_param.get('eps', 1e-5)
    momentum = bn_param.get('momentum', 0.9)
    C = x.shape[1]
    running_mean = bn_param.get('running_mean', np.zeros(C, dtype=x.dtype))
    running_var = bn_param.get('running_var', np.zeros(C, dtype=x.dtype))
    img = (slice(None), None, None)
    if mode == 'train':
        mean = np.mean(x, axis=(0, 2, 3))
        var = np.var(x, axis=(0, 2, 3))
        running_mean = momentum * running_mean + (1 - momentum) * mean
        running_var = momentum * running_var + (1 - momentum) * var
    elif mode == 'test':
        mean, var = running_mean, running_var
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)
    bn_param['running_mean'] = running_mean
    bn_param['running_var'] = running_var
    std = np.sqrt(var + eps)[img]
    norm = (x - mean[img]) / std
    return norm * gamma[img] + beta[img], (norm, std, gamma[img])


def spatial_batchnorm_backward(dout, cache):
    norm, std, gamma = cache
    ax = (0, 2, 3)
    d = dout * gamma
    m = d.size // d.shape[1]
    dx = d - d.sum(axis=ax, keepdims=True) / m - norm * (d * norm).sum(axis=ax, keepdims=True) / m
    return dx / std, np.sum(dout * norm, axis=ax), np.sum(dout, axis=ax)


def layernorm_forward(x, gamma, beta, ln_param):
    # one group = layer norm
    out, cache = spatial_groupnorm_forward(x[:, :, None, None], gamma[:, None, None], beta[:, None, None], 1, ln_param)
    return out[:, :, 0, 0], cache


def layernorm_backward(dout, cache):
    dx, dgamma, dbeta = spatial_groupnorm_backward(dout[:, :, None, None], cache)
    return dx[:, :, 0, 0], dgamma.ravel(), dbeta.ravel()


def spatial_groupnorm_forward(x, gamma, beta, G, gn_param):
    eps = gn_param.get('eps', 1e-5)
    N, C, H, W = x.shape
    norm, stds = np.empty_like(x), np.empty((N, G))
    k = C // G
    for n in range(N):
        for g in range(G):
            block = x[n, g * k:(g + 1) * k]
            stds[n, g] = np.sqrt(block.var() + eps)
            norm[n, g * k:(g + 1) * k] = (block - block.mean()) / stds[n, g]
    return gamma * norm + beta, (norm, stds, gamma)


def spatial_groupnorm_backward(dout, cache):
    norm, stds, gamma = cache
    N, C, H, W = dout.shape
    G = stds.shape[1]
    k = C // G
    d = dout * gamma
    dx = np.empty_like(d)
    for n in range(N):
        for g in range(G):
            part = slice(g * k, (g + 1) * k)
            dx[n, part] = d[n, part] - d[n, part].mean() - norm[n, part] * (d[n, part] * norm[n, part]).mean()
            dx[n, part] /= stds[n, g]
    dgamma = np.sum(dout * norm, axis=(0, 2, 3), keepdims=True)
    return dx, dgamma, np.sum(dout, axis=(0, 2, 3), keepdims=True)
