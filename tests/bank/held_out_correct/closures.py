import numpy as np

# every forward step returns its value and a little function that undoes it;
# the cache is just the list of those functions


def _mean(a):
    n = a.shape[0]
    return a.mean(0), lambda d: np.tile(d / n, (n, 1))


def _sub(a, b):
    return a - b, lambda d: (d, -d.sum(0))


def _square(a):
    return a ** 2, lambda d: 2 * a * d


def _rsqrt(a, eps):
    r = 1 / np.sqrt(a + eps)
    return r, lambda d: -0.5 * d * r ** 3


def _mul(a, b):
    return a * b, lambda d: (d * b, (d * a).sum(0))


def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param['mode']
    eps = bn_param.get('eps', 1e-5)
    momentum = bn_param.get('momentum', 0.9)
    running_mean = bn_param.get('running_mean', np.zeros(x.shape[1], dtype=x.dtype))
    running_var = bn_param.get('running_var', np.zeros(x.shape[1], dtype=x.dtype))
    if mode == 'test':
        slope = gamma * (running_var + eps) ** -0.5
        return slope * x + (beta - slope * running_mean), None
    if mode != 'train':
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)

    m, back_mean = _mean(x)
    c, back_sub = _sub(x, m)
    s, back_square = _square(c)
    v, back_var = _mean(s)
    r, back_rsqrt = _rsqrt(v, eps)
    h, back_norm = _mul(c, r)
    o, back_scale = _mul(h, gamma)
    bn_param['running_mean'] = running_mean + (1 - momentum) * (m - running_mean)
    bn_param['running_var'] = running_var + (1 - momentum) * (v - running_var)

    def undo(dout):
        dh, dgamma = back_scale(dout)
        dc, dr = back_norm(dh)
        dc = dc + back_square(back_var(back_rsqrt(dr)))
        dx, dm = back_sub(dc)
        return dx + back_mean(dm), dgamma, dout.sum(0)

    return o + beta, undo


def batchnorm_backward(dout, cache):
    return cache(dout)


def batchnorm_backward_alt(dout, cache):
    return cache(dout)
