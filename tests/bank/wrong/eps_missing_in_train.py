import numpy as np


def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param['mode']
    eps = bn_param.get('eps', 1e-5)
    momentum = bn_param.get('momentum', 0.9)
    N, D = x.shape
    running_mean = bn_param.get('running_mean', np.zeros(D, dtype=x.dtype))
    running_var = bn_param.get('running_var', np.zeros(D, dtype=x.dtype))

    if mode == 'train':
        sample_mean = np.mean(x, axis=0)
        sample_var = np.var(x, axis=0)
        sample_std = np.std(x, axis=0)
        normalized = (x - sample_mean) / sample_std
        out = gamma * normalized + beta
        running_mean = momentum * running_mean + (1 - momentum) * sample_mean
        running_var = momentum * running_var + (1 - momentum) * sample_var
        cache = {'normalized': normalized, 'std': sample_std, 'gamma': gamma}
    elif mode == 'test':
        out = gamma * (x - running_mean) / np.sqrt(running_var + eps) + beta
        cache = None
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)

    bn_param['running_mean'] = running_mean
    bn_param['running_var'] = running_var
    return out, cache


def batchnorm_backward(dout, cache):
    # did this one on paper, see the alt function for the explanation
    return batchnorm_backward_alt(dout, cache)


def batchnorm_backward_alt(dout, cache):
    normalized, std, gamma = cache['normalized'], cache['std'], cache['gamma']
    dnorm = dout * gamma
    dx = (dnorm - dnorm.mean(axis=0) - normalized * (dnorm * normalized).mean(axis=0)) / std
    return dx, (dout * normalized).sum(axis=0), dout.sum(axis=0)
