import numpy as np

def batchnorm_forward(x, gamma, beta, bn_param):
    q = {'eps': 1e-5, 'momentum': 0.9, 'running_mean': np.zeros(x.shape[1]), 'running_var': np.zeros(x.shape[1]), **bn_param}
    if q['mode'] not in ('train', 'test'):
        raise ValueError(q['mode'])
    if q['mode'] == 'train':
        bn_param['running_mean'] = q['momentum'] * q['running_mean'] + (1 - q['momentum']) * x.mean(0)
        bn_param['running_var'] = q['momentum'] * q['running_var'] + (1 - q['momentum']) * x.var(0)
        return (x - x.mean(0)) / np.sqrt(x.var(0) + q['eps']) * gamma + beta, (x, gamma, q['eps'])
    bn_param['running_mean'], bn_param['running_var'] = q['running_mean'], q['running_var']
    return (x - q['running_mean']) / np.sqrt(q['running_var'] + q['eps']) * gamma + beta, None

def batchnorm_backward(dout, cache):
    x, gamma, eps = cache
    return gamma / np.sqrt(x.var(0) + eps) * (dout - dout.mean(0) - (x - x.mean(0)) * (dout * (x - x.mean(0))).mean(0) / (x.var(0) + eps)), (dout * (x - x.mean(0)) / np.sqrt(x.var(0) + eps)).sum(0), dout.sum(0)

batchnorm_backward_alt = lambda dout, cache: batchnorm_backward(dout, cache)
