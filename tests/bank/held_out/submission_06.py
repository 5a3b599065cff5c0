import math
import numpy as np

# plain loops everywhere. slow, but it does what the formula says


def batchnorm_forward(x, gamma, beta, bn_param):
    N, D = x.shape
    mode = bn_param['mode']
    eps = bn_param.get('eps', 1e-5)
    momentum = bn_param.get('momentum', 0.9)
    rmean = bn_param.get('running_mean', np.zeros(D, dtype=x.dtype))
    rvar = bn_param.get('running_var', np.zeros(D, dtype=x.dtype))
    out = np.zeros((N, D))
    cache = None
    if mode == 'train':
        new_mean = np.zeros(D)
        new_var = np.zeros(D)
        mus = np.zeros(D)
        sds = np.zeros(D)
        for d in range(D):
            total = 0.0
            for n in range(N):
                total += x[n, d]
            mu = total / N
            total = 0.0
            for n in range(N):
                total += (x[n, d] - mu) ** 2
            var = total / N
            sd = math.sqrt(var + eps)
            for n in range(N):
                out[n, d] = gamma[d] * ((x[n, d] - mu) / sd) + beta[d]
            mus[d] = mu
            sds[d] = sd
            new_mean[d] = momentum * rmean[d] + (1 - momentum) * mu
            new_var[d] = momentum * rvar[d] + (1 - momentum) * var
        bn_param['running_mean'] = new_mean
        bn_param['running_var'] = new_var
        cache = (x, mus, sds, gamma)
    elif mode == 'test':
        for d in range(D):
            for n in range(N):
                out[n, d] = gamma[d] * (x[n, d] - rmean[d]) / math.sqrt(rvar[d] + eps) + beta[d]
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)
    return out, cache


def batchnorm_backward(dout, cache):
    x, mus, sds, gamma = cache
    N, D = x.shape
    dx = np.zeros((N, D))
    dgamma = np.zeros(D)
    dbeta = np.zeros(D)
    for d in range(D):
        s1 = 0.0
        s2 = 0.0
        for n in range(N):
            xh = (x[n, d] - mus[d]) / sds[d]
            s1 += dout[n, d]
            s2 += dout[n, d] * xh
        dbeta[d] = s1
        dgamma[d] = s2
        for n in range(N):
            xh = (x[n, d] - mus[d]) / sds[d]
            dx[n, d] = gamma[d] / sds[d] * (dout[n, d] - s1 / N - xh * s2 / N)
    return dx, dgamma, dbeta


def spatial_groupnorm_forward(x, gamma, beta, G, gn_param):
    eps = gn_param.get('eps', 1e-5)
    N, C, H, W = x.shape
    S = C // G
    xhat = np.zeros(x.shape)
    sds = np.zeros((N, G))
    for n in range(N):
        for g in range(G):
            mu = 0.0
            for c in range(g * S, (g + 1) * S):
                for i in range(H):
                    for j in range(W):
                        mu += x[n, c, i, j]
            mu /= S * H * W
            var = 0.0
            for c in range(g * S, (g + 1) * S):
                for i in range(H):
                    for j in range(W):
                        var += (x[n, c, i, j] - mu) ** 2
            var /= S * H * W
            sds[n, g] = math.sqrt(var + eps)
            for c in range(g * S, (g + 1) * S):
                for i in range(H):
                    for j in range(W):
                        xhat[n, c, i, j] = (x[n, c, i, j] - mu) / sds[n, g]
    out = gamma * xhat + beta
    return out, (xhat, sds, gamma, G)


def spatial_groupnorm_backward(dout, cache):
    xhat, sds, gamma, G = cache
    N, C, H, W = dout.shape
    S = C // G
    M = H * W  # pixels in one group
    dgamma = np.sum(dout * xhat, axis=(0, 2, 3), keepdims=True)
    dbeta = np.sum(dout, axis=(0, 2, 3), keepdims=True)
    dxhat = dout * gamma
    dx = np.zeros(dout.shape)
    for n in range(N):
        for g in range(G):
            s1 = 0.0
            s2 = 0.0
            for c in range(g * S, (g + 1) * S):
                for i in range(H):
                    for j in range(W):
                        s1 += dxhat[n, c, i, j]
                        s2 += dxhat[n, c, i, j] * xhat[n, c, i, j]
            for c in range(g * S, (g + 1) * S):
                for i in range(H):
                    for j in range(W):
                        dx[n, c, i, j] = (dxhat[n, c, i, j] - s1 / M - xhat[n, c, i, j] * s2 / M) / sds[n, g]
    return dx, dgamma, dbeta
