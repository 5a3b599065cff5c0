import numpy as np


class BatchNorm(object):
    """ I come from Java :) so there is a class for it """

    def __init__(self, gamma, beta, bn_param, D):
        self.gamma = gamma
        self.beta = beta
        self.eps = bn_param.get('eps', 1e-5)
        self.momentum = bn_param.get('momentum', 0.9)
        self.running_mean = bn_param.get('running_mean', np.zeros(D))
        self.running_var = bn_param.get('running_var', np.zeros(D))

    def train(self, x):
        self.mean = x.mean(axis=0)
        self.centered = x - self.mean
        self.var = (self.centered ** 2).mean(axis=0)
        self.sigma = np.sqrt(self.var + self.eps)
        self.normed = self.centered / self.sigma
        self.running_mean = self.momentum * self.running_mean + (1 - self.momentum) * self.mean
        self.running_var = self.momentum * self.running_var + (1 - self.momentum) * self.var
        return self.gamma * self.normed + self.beta

    def test(self, x):
        return self.gamma * (x - self.running_mean) / np.sqrt(self.running_var + self.eps) + self.beta

    def state(self):
        return {'running_mean': self.running_mean, 'running_var': self.running_var}

    def backward(self, dout):
        N = dout.shape[0]
        dbeta = dout.sum(axis=0)
        dgamma = (dout * self.normed).sum(axis=0)
        dnormed = dout * self.gamma
        dsigma = -(dnormed * self.centered).sum(axis=0) / self.sigma ** 2
        dvar = dsigma / (2 * self.sigma)
        dcentered = dnormed / self.sigma + 2 * self.centered * dvar / N
        dmean = -dcentered.sum(axis=0)
        return dcentered + dmean / N, dgamma, dbeta


def batchnorm_forward(x, gamma, beta, bn_param):
    layer = BatchNorm(gamma, beta, bn_param, x.shape[1])
    if bn_param['mode'] == 'train':
        out = layer.train(x)
    elif bn_param['mode'] == 'test':
        out = layer.test(x)
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % bn_param['mode'])
    bn_param = {**bn_param, **layer.state()}
    return out, layer


def batchnorm_backward(dout, cache):
    return cache.backward(dout)
