import numpy as np

# batchnorm, all in as few lines as possible

def batchnorm_forward(x, gamma, beta, bn_param):
    mode, eps, mom = bn_param['mode'], bn_param.get('eps', 1e-5), bn_param.get('momentum', 0.9)
    r = [bn_param.get(k, np.zeros(x.shape[1], x.dtype)) for k in ('running_mean', 'running_var')]
    if mode not in ('train', 'test'):
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)
    s = [x.mean(0), x.var(0)] if mode == 'train' else r
    if mode == 'train':
        bn_param['running_mean'], bn_param['running_var'] = [mom * a + (1 - mom) * b for a, b in zip(r, s)]
    h = (x - s[0]) / np.sqrt(s[1] + eps)
    return h * gamma + beta, (h, s[1] + eps, gamma)

def batchnorm_backward(dout, cache):
    h, v, gamma = cache
    return (dout - dout.mean(0) - h * (dout * h).mean(0)) / np.sqrt(v), (dout * h).sum(0), dout.sum(0)
