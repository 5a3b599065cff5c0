import numpy as np

safe_sqrt = lambda v, eps: np.sqrt(np.maximum(v, 0) + eps)
rsqrt = lambda v, eps: 1.0 / safe_sqrt(v, eps)

def batchnorm_forward(x, gamma, beta, bn_param):
    # everything is kept in bn_param, cache is just bn_param
    mode = bn_param['mode']
    bn_param.setdefault('eps', 1e-5)
    bn_param.setdefault('momentum', 0.9)
    bn_param.setdefault('running_mean', np.zeros(x.shape[1], dtype=x.dtype))
    bn_param.setdefault('running_var', np.zeros(x.shape[1], dtype=x.dtype))
    if mode == 'train':
        m = bn_param['momentum']
        bn_param['x'], bn_param['gamma'] = x, gamma
        bn_param['mean'], bn_param['var'] = np.mean(x, 0), np.var(x, 0)
        bn_param['running_mean'] = m * bn_param['running_mean'] + (1 - m) * bn_param['mean']
        bn_param['running_var'] = m * bn_param['running_var'] + (1 - m) * bn_param['var']
        return (x - bn_param['mean']) * rsqrt(bn_param['var'], bn_param['eps']) * gamma + beta, bn_param
    elif mode == 'test':
        return (x - bn_param['running_mean']) * rsqrt(bn_param['running_var'], bn_param['eps']) * gamma + beta, bn_param
    raise ValueError('Invalid forward batchnorm mode "%s"' % mode)

def batchnorm_backward(dout, cache):
    x, gamma, mean, r = cache['x'], cache['gamma'], cache['mean'], rsqrt(cache['var'], cache['eps'])
    N = len(x)
    h = (x - mean) * r
    dh = dout * gamma
    dr = np.sum(dh * (x - mean), 0)
    dvar = -r ** 3 / 2 * dr
    dc = dh * r + (x - mean) * (2 * dvar / N)
    return dc - np.sum(dc, 0) / N, np.sum(dout * h, 0), np.sum(dout, 0)
