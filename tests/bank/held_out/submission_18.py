import numpy as np


def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param["mode"]
    eps = bn_param.get("eps", 1e-5)
    momentum = bn_param.get("momentum", 0.9)
    D = x.shape[1]
    running_mean = bn_param.get("running_mean", np.zeros(D, dtype=x.dtype))
    running_var = bn_param.get("running_var", np.zeros(D, dtype=x.dtype))

    if mode == "train":
        mu = np.mean(x, axis=0, keepdims=True)
        xc = x - mu
        var = np.mean(xc ** 2, axis=0, keepdims=True)
        istd = 1 / np.sqrt(var + eps)
        xhat = xc * istd
        out = xhat * gamma + beta
        cache = (xc, istd, xhat, gamma)
        bn_param["running_mean"] = momentum * running_mean + (1 - momentum) * mu[0]
        bn_param["running_var"] = momentum * running_var + (1 - momentum) * var[0]
    elif mode == "test":
        out = (x - running_mean) / np.sqrt(running_var + eps) * gamma + beta
        cache = None
    else:
        raise ValueError("Invalid forward batchnorm mode '%s'" % mode)
    return out, cache


def batchnorm_backward(dout, cache):
    xc, istd, xhat, gamma = cache
    N = xc.shape[0]

    # out = xhat * gamma + beta
    dbeta = np.sum(dout, axis=0, keepdims=True)
    dgamma = np.sum(dout * xhat, axis=0, keepdims=True)
    dxhat = dout * gamma
    # xhat = xc * istd
    dxc = dxhat * istd
    distd = np.sum(dxhat * xc, axis=0, keepdims=True)
    # istd = (var + eps) ** (-1/2)
    dvar = -0.5 * distd * istd ** 3
    # var = mean(xc ** 2)
    dsq = np.ones_like(xc) * dvar / N
    dxc = 2 * xc * dsq
    # xc = x - mu
    dmu = -np.sum(dxc, axis=0, keepdims=True)
    dx = dxc + np.ones_like(xc) * dmu / N
    return dx, dgamma[0], dbeta[0]
