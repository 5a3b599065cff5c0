import numpy as np


def batchnorm_forward(x, gamma, beta, bn_param):
    eps = bn_param.get("eps", 1e-5)
    momentum = bn_param.get("momentum", 0.9)
    D = x.shape[1]
    bn_param.setdefault("running_mean", np.zeros(D, dtype=x.dtype))
    bn_param.setdefault("running_var", np.zeros(D, dtype=x.dtype))

    if bn_param["mode"] == "train":
        avg = np.average(x, axis=0)
        zero_mean = np.subtract(x, avg)
        v = np.average(np.square(zero_mean), axis=0)
        bn_param["running_mean"] = bn_param["running_mean"] * momentum + avg * (1.0 - momentum)
        bn_param["running_var"] = bn_param["running_var"] * momentum + v * (1.0 - momentum)
    elif bn_param["mode"] == "test":
        zero_mean = np.subtract(x, bn_param["running_mean"])
        v = bn_param["running_var"]
    else:
        raise ValueError("Invalid forward batchnorm mode %r" % bn_param["mode"])

    scale = np.power(np.add(v, eps), -0.5)
    normalized = np.multiply(zero_mean, scale)
    return np.add(np.multiply(gamma, normalized), beta), (normalized, scale, gamma)


def batchnorm_backward(dout, cache):
    normalized, scale, gamma = cache
    dbeta = np.sum(dout, axis=0)
    dgamma = np.sum(np.multiply(dout, normalized), axis=0)
    dn = np.multiply(dout, gamma)
    correction = np.average(dn, axis=0) + normalized * np.average(dn * normalized, axis=0)
    return scale * (dn - correction), dgamma, dbeta


def spatial_batchnorm_forward(x, gamma, beta, bn_param):
    # treat every pixel as one more example
    N, C, H, W = x.shape
    flat = x.transpose(0, 2, 3, 1).reshape(N * H * W, C)
    out, cache = batchnorm_forward(flat, gamma, beta, bn_param)
    out = out.reshape(N, C, H, W)
    return out, cache


def spatial_batchnorm_backward(dout, cache):
    N, C, H, W = dout.shape
    flat = dout.transpose(0, 2, 3, 1).reshape(N * H * W, C)
    dx, dgamma, dbeta = batchnorm_backward(flat, cache)
    dx = dx.reshape(N, H, W, C).transpose(0, 3, 1, 2)
    return dx, dgamma, dbeta
