import numpy as np

def batchnorm_forward(x, gamma, beta, bn_param):
    p = bn_param
    e, m = p.get("eps", 1e-5), p.get("momentum", .9)
    D = x.shape[1]
    p.setdefault("running_mean", np.zeros(D, x.dtype))
    p.setdefault("running_var", np.zeros(D, x.dtype))
    if p["mode"] == "train":
        a, b = x.mean(0), x.var(0)
        s = np.sqrt(b + e)
        h = (x - a) / s
        p["running_mean"] = m * p["running_mean"] + (1 - m) * a
        p["running_var"] = m * p["running_var"] + (1 - m) * b
        return gamma * h + beta, [h, s, gamma]
    if p["mode"] == "test":
        # same thing as normalizing and then scaling but only one multiplication
        k = gamma * p["running_var"] ** -0.5
        return x * k + (beta - p["running_mean"] * k), None
    raise ValueError(p["mode"])

def batchnorm_backward(dout, cache):
    h, s, gamma = cache
    db = dout.sum(0)
    dg = (dout * h).sum(0)
    n = len(dout)
    return gamma / s * (dout - db / n - h * dg / n), dg, db

batchnorm_backward_alt = batchnorm_backward
