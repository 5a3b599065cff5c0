"""A right file of cs231n, as a student might hand it in: staged and simplified backward, every layer."""

import numpy as np


def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param["mode"]
    eps = bn_param.get("eps", 1e-5)
    momentum = bn_param.get("momentum", 0.9)
    D = x.shape[1]
    running_mean = bn_param.get("running_mean", np.zeros(D, dtype=x.dtype))
    running_var = bn_param.get("running_var", np.zeros(D, dtype=x.dtype))
    if mode == "train":
        mu = x.mean(axis=0)
        xc = x - mu
        var = np.mean(xc**2, axis=0)
        sd = np.sqrt(var + eps)
        x_hat = xc / sd
        running_mean = momentum * running_mean + (1 - momentum) * mu
        running_var = momentum * running_var + (1 - momentum) * var
        cache = (xc, sd, x_hat, gamma)
    elif mode == "test":
        x_hat = (x - running_mean) / np.sqrt(running_var + eps)
        cache = None
    else:
        raise ValueError(f'Invalid forward batchnorm mode "{mode}"')
    bn_param["running_mean"] = running_mean
    bn_param["running_var"] = running_var
    return gamma * x_hat + beta, cache


def batchnorm_backward(dout, cache):
    xc, sd, x_hat, gamma = cache
    N = dout.shape[0]
    dbeta = dout.sum(axis=0)
    dgamma = np.sum(dout * x_hat, axis=0)
    dx_hat = dout * gamma
    dxc = dx_hat / sd
    dsd = -np.sum(dx_hat * xc, axis=0) / sd**2
    dvar = 0.5 * dsd / sd
    dxc += 2 / N * xc * dvar
    dmu = -dxc.sum(axis=0)
    return dxc + dmu / N, dgamma, dbeta


def batchnorm_backward_alt(dout, cache):
    _, sd, x_hat, gamma = cache
    dbeta = dout.sum(axis=0)
    dgamma = np.sum(dout * x_hat, axis=0)
    g = dout * gamma
    return (g - g.mean(axis=0) - x_hat * np.mean(g * x_hat, axis=0)) / sd, dgamma, dbeta


def layernorm_forward(x, gamma, beta, ln_param):
    eps = ln_param.get("eps", 1e-5)
    xc = x - x.mean(axis=1, keepdims=True)
    sd = np.sqrt(np.mean(xc**2, axis=1, keepdims=True) + eps)
    x_hat = xc / sd
    return gamma * x_hat + beta, (x_hat, sd, gamma)


def layernorm_backward(dout, cache):
    x_hat, sd, gamma = cache
    g = dout * gamma
    dx = (g - g.mean(axis=1, keepdims=True) - x_hat * np.mean(g * x_hat, axis=1, keepdims=True)) / sd
    return dx, np.sum(dout * x_hat, axis=0), dout.sum(axis=0)


def spatial_batchnorm_forward(x, gamma, beta, bn_param):
    N, C, H, W = x.shape
    flat = x.transpose(0, 2, 3, 1).reshape(-1, C)
    out, cache = batchnorm_forward(flat, gamma, beta, bn_param)
    return out.reshape(N, H, W, C).transpose(0, 3, 1, 2), cache


def spatial_batchnorm_backward(dout, cache):
    N, C, H, W = dout.shape
    flat = dout.transpose(0, 2, 3, 1).reshape(-1, C)
    dx, dgamma, dbeta = batchnorm_backward(flat, cache)
    return dx.reshape(N, H, W, C).transpose(0, 3, 1, 2), dgamma, dbeta


def spatial_groupnorm_forward(x, gamma, beta, G, gn_param):
    eps = gn_param.get("eps", 1e-5)
    N = x.shape[0]
    grouped = x.reshape(N, G, -1)
    xc = grouped - grouped.mean(axis=2, keepdims=True)
    sd = np.sqrt(np.mean(xc**2, axis=2, keepdims=True) + eps)
    x_hat = (xc / sd).reshape(x.shape)
    return gamma * x_hat + beta, (x_hat, sd, gamma, G)


def spatial_groupnorm_backward(dout, cache):
    x_hat, sd, gamma, G = cache
    dgamma = np.sum(dout * x_hat, axis=(0, 2, 3), keepdims=True)
    dbeta = np.sum(dout, axis=(0, 2, 3), keepdims=True)
    grouped = (dout.shape[0], G, -1)
    g, h = (dout * gamma).reshape(grouped), x_hat.reshape(grouped)
    dx = (g - g.mean(axis=2, keepdims=True) - h * np.mean(g * h, axis=2, keepdims=True)) / sd
    return dx.reshape(dout.shape), dgamma, dbeta
