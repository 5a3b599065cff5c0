import numpy as np

# no loops, no np.mean: every sum is a product with a vector of ones (faster on my laptop!?)


def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param['mode']
    eps = bn_param.get('eps', 1e-5)
    momentum = bn_param.get('momentum', 0.9)
    n, d = x.shape
    running_mean = bn_param.get('running_mean', np.zeros(d, dtype=x.dtype))
    running_var = bn_param.get('running_var', np.zeros(d, dtype=x.dtype))
    if mode == 'train':
        ones = np.ones(n)
        m = ones @ x / n
        r = x - np.outer(ones, m)
        v = np.einsum('ij,ij->j', r, r) / n
        s = np.sqrt(v) + eps
        z = np.einsum('ij,j->ij', r, 1 / s)
        out = np.einsum('ij,j->ij', z, gamma) + np.outer(ones, beta)
        bn_param['running_mean'] = momentum * running_mean + (1 - momentum) * m
        bn_param['running_var'] = momentum * running_var + (1 - momentum) * v
        return out, {'z': z, 's': s, 'gamma': gamma}
    elif mode == 'test':
        w = gamma / np.sqrt(running_var + eps)
        return x * w + (beta - running_mean * w), {}
    raise ValueError('Invalid forward batchnorm mode "%s"' % mode)


def batchnorm_backward(dout, cache):
    z, s, gamma = cache['z'], cache['s'], cache['gamma']
    n = len(dout)
    ones = np.ones(n)
    dbeta = ones @ dout
    dgamma = np.einsum('ij,ij->j', dout, z)
    dx = dout - np.outer(ones, dbeta) / n - np.einsum('ij,j->ij', z, dgamma) / n
    dx = np.einsum('ij,j->ij', dx, gamma / s)
    return dx, dgamma, dbeta
