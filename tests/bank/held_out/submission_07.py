import numpy as np


def batchnorm_forward(x, gamma, beta, bn_param):
    mode, eps, mom = bn_param['mode'], bn_param.get('eps', 1e-5), bn_param.get('momentum', 0.9)
    rm = bn_param.get('running_mean', np.zeros(x.shape[1], dtype=x.dtype))
    rv = bn_param.get('running_var', np.zeros(x.shape[1], dtype=x.dtype))
    if mode == 'train':
        # keep the averages for test time
        bn_param['running_mean'] = mom * rm + (1 - mom) * x.mean(axis=0)
        bn_param['running_var'] = mom * rv + (1 - mom) * (x.var(axis=0) + eps)
        return gamma * (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps) + beta, (x, gamma, eps)
    if mode == 'test':
        return gamma * (x - rm) / np.sqrt(rv + eps) + beta, (x, gamma, eps)
    raise ValueError('Invalid forward batchnorm mode "%s"' % mode)


def batchnorm_backward(dout, cache):
    x, gamma, eps = cache
    return (
        gamma / np.sqrt(x.var(axis=0) + eps) * (dout - dout.mean(axis=0) - (x - x.mean(axis=0)) / (x.var(axis=0) + eps) * (dout * (x - x.mean(axis=0))).mean(axis=0)),
        (dout * (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps)).sum(axis=0),
        dout.sum(axis=0),
    )


batchnorm_backward_alt = batchnorm_backward
