import numpy as np

def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param['mode']
    eps = bn_param.get('eps', 1e-5)
    momentum = bn_param.get('momentum', 0.9)
    N, D = x.shape
    running_mean = bn_param.get('running_mean', np.zeros(D, dtype=x.dtype))
    running_var = bn_param.get('running_var', np.zeros(D, dtype=x.dtype))
    if mode == 'train':
        t = np.mean(x)
        t1 = x - t
        t2 = np.mean(t1 * t1, axis=0)
        t3 = np.sqrt(t2 + eps)
        t4 = t1 / t3
        t5 = gamma * t4 + beta
        cache = [t1, t2, t3, t4, gamma]
        running_mean = momentum * running_mean + (1 - momentum) * t
        running_var = momentum * running_var + (1 - momentum) * t2
    elif mode == 'test':
        t5 = gamma * (x - running_mean) / np.sqrt(running_var + eps) + beta
        cache = None
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)
    bn_param['running_mean'] = running_mean
    bn_param['running_var'] = running_var
    return t5, cache

def batchnorm_backward(dout, cache):
    t1, t2, t3, t4, gamma = cache
    N = dout.shape[0]
    dbeta = np.sum(dout, axis=0)
    dgamma = np.sum(dout * t4, axis=0)
    d4 = dout * gamma
    d3 = -np.sum(d4 * t1, axis=0) / t3 ** 2
    d2 = d3 / 2 / t3
    d1 = d4 / t3 + t1 * d2 * 2 / N
    d0 = np.sum(-d1, axis=0)
    return d1 + d0 / N, dgamma, dbeta
