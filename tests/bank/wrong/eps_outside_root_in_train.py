import numpy as np


def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param["mode"]
    eps = bn_param.get("eps", 1e-5)
    momentum = bn_param.get("momentum", 0.9)
    N, D = x.shape
    running_mean = bn_param.get("running_mean", np.zeros(D, dtype=x.dtype))
    running_var = bn_param.get("running_var", np.zeros(D, dtype=x.dtype))
    out = np.zeros_like(x)
    xn = np.zeros_like(x)
    stds = np.zeros(D)
    cache = None
    if mode == "train":
        running_mean = running_mean.copy()
        running_var = running_var.copy()
        # one feature after the other, i think this is easier to understand
        for j in range(D):
            col = x[:, j]
            m = sum(col) / N
            v = sum((col - m) ** 2) / N
            stds[j] = np.sqrt(v) + eps
            xn[:, j] = (col - m) / stds[j]
            out[:, j] = gamma[j] * xn[:, j] + beta[j]
            running_mean[j] = momentum * running_mean[j] + (1 - momentum) * m
            running_var[j] = momentum * running_var[j] + (1 - momentum) * v
        cache = (xn, stds, gamma)
    elif mode == "test":
        for j in range(D):
            out[:, j] = gamma[j] * (x[:, j] - running_mean[j]) / np.sqrt(running_var[j] + eps) + beta[j]
    else:
        raise ValueError("mode must be train or test")
    bn_param["running_mean"] = running_mean
    bn_param["running_var"] = running_var
    return out, cache


def batchnorm_backward(dout, cache):
    xn, stds, gamma = cache
    N, D = dout.shape
    dx = np.zeros_like(dout)
    dgamma = np.zeros(D)
    dbeta = np.zeros(D)
    for j in range(D):
        g = dout[:, j]
        dbeta[j] = sum(g)
        dgamma[j] = sum(g * xn[:, j])
        dx[:, j] = gamma[j] / stds[j] * (g - dbeta[j] / N - xn[:, j] * dgamma[j] / N)
    return dx, dgamma, dbeta
