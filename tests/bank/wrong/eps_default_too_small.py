import numpy as np


def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param['mode']
    eps = bn_param.get('eps', 1e-8)
    momentum = bn_param.get('momentum', 0.9)
    running_mean = bn_param.get('running_mean', np.zeros(x.shape[1]))
    running_var = bn_param.get('running_var', np.zeros(x.shape[1]))
    if mode == 'train':
        t1 = np.einsum('nd->d', x) / x.shape[0]
        t2 = x - t1
        t3 = np.einsum('nd,nd->d', t2, t2) / x.shape[0]
        t4 = 1 / np.sqrt(t3 + eps)
        t5 = np.einsum('nd,d->nd', t2, t4)
        out = np.einsum('nd,d->nd', t5, gamma) + beta
        bn_param['running_mean'] = momentum * running_mean + (1 - momentum) * t1
        bn_param['running_var'] = momentum * running_var + (1 - momentum) * t3
        return out, (t4, t5, gamma)
    elif mode == 'test':
        t5 = (x - running_mean) / np.sqrt(running_var + eps)
        return np.einsum('nd,d->nd', t5, gamma) + beta, None
    raise ValueError('Invalid forward batchnorm mode "%s"' % mode)


def batchnorm_backward(dout, cache):
    t4, t5, gamma = cache
    N = dout.shape[0]
    dbeta = np.einsum('nd->d', dout)
    dgamma = np.einsum('nd,nd->d', dout, t5)
    dx = gamma * t4 / N * (N * dout - dbeta - t5 * dgamma)
    return dx, dgamma, dbeta
