from builtins import range
import numpy as np


def affine_forward(x, w, b):
    out = x.reshape(x.shape[0], -1).dot(w) + b
    return out, (x, w, b)


def relu_forward(x):
    return np.maximum(0, x), x


def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param["mode"]
    eps = bn_param.get("eps", 1e-5)
    momentum = bn_param.get("momentum", 0.9)
    N, D = x.shape
    rm = bn_param.get("running_mean", np.zeros(D, dtype=x.dtype))
    rv = bn_param.get("running_var", np.zeros(D, dtype=x.dtype))

    if mode == "train":
        a = x.mean(0)
        b = x - a
        c = b * b
        d = c.mean(0)
        e = np.sqrt(d + eps)
        f = 1.0 / e
        g = b * f
        h = gamma * g
        out = h + beta
        rm = momentum * rm + (1 - momentum) * a
        rv = momentum * rv + (1 - momentum) * d
        cache = [b, e, f, g, gamma]
    elif mode == "test":
        out = gamma * ((x - rm) / np.sqrt(rv + eps)) + beta
        cache = None
    else:
        raise ValueError("Invalid forward batchnorm mode '%s'" % mode)
    bn_param["running_mean"] = rm
    bn_param["running_var"] = rv
    return out, cache


def batchnorm_backward(dout, cache):
    b, e, f, g, gamma = cache
    n = dout.shape[0]
    k0 = dout.sum(0)
    k1 = (dout * g).sum(0)
    k2 = dout * gamma
    k3 = k2 * f
    k4 = (k2 * b).sum(0)
    k5 = -k4 * f
    k6 = k5 / e / 2.0
    k7 = k6 / n
    k8 = 2 * b * k7
    k9 = k3 + k8
    k10 = -k9.sum(0)
    k11 = k9 + k10 / n
    return k11, k1, k0
