import numpy as np


class BatchNorm(object):
    """keeps what forward computed so backward can use it"""

    def __init__(self, gamma, beta, eps):
        self.gamma = gamma
        self.beta = beta
        self.eps = eps

    def train(self, x):
        self.N = x.shape[0]
        self.mean = np.mean(x, axis=0, keepdims=True)
        self.centered = x - self.mean
        self.var = np.mean(self.centered ** 2, axis=0, keepdims=True)
        self.std = np.sqrt(self.var + self.eps)
        self.x_norm = self.centered / self.std
        return self.x_norm * self.gamma + self.beta

    def test(self, x, mean, var):
        x_norm = (x - mean) / (np.sqrt(var) + self.eps)
        return x_norm * self.gamma + self.beta

    def backward(self, dout):
        dbeta = np.sum(dout, axis=0)
        dgamma = np.sum(dout * self.x_norm, axis=0)
        dx_norm = dout * self.gamma
        dvar = np.sum(dx_norm * self.centered * -0.5 * self.std ** -3, axis=0, keepdims=True)
        dmean = np.sum(-dx_norm / self.std, axis=0, keepdims=True) + dvar * np.mean(-2 * self.centered, axis=0, keepdims=True)
        dx = dx_norm / self.std + dvar * 2 * self.centered / self.N + dmean / self.N
        return dx, dgamma, dbeta


def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param['mode']
    momentum = bn_param.get('momentum', 0.9)
    running_mean = bn_param.get('running_mean', np.zeros(x.shape[1], dtype=x.dtype))
    running_var = bn_param.get('running_var', np.zeros(x.shape[1], dtype=x.dtype))
    bn = BatchNorm(gamma, beta, bn_param.get('eps', 1e-5))
    if mode == 'train':
        out = bn.train(x)
        running_mean = momentum * running_mean + (1 - momentum) * bn.mean[0]
        running_var = momentum * running_var + (1 - momentum) * bn.var[0]
    elif mode == 'test':
        out = bn.test(x, running_mean, running_var)
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)
    bn_param['running_mean'] = running_mean
    bn_param['running_var'] = running_var
    return out, bn


def batchnorm_backward(dout, cache):
    return cache.backward(dout)
