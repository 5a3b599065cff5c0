import numpy as np


class Mean:
    def forward(self, a):
        self.shape = a.shape
        return np.mean(a, axis=0, keepdims=True)

    def backward(self, d):
        return np.ones(self.shape) * d / self.shape[0]


class Minus:
    def forward(self, a, b):
        return a - b

    def backward(self, d):
        return d, -np.sum(d, axis=0, keepdims=True)


class Square:
    def forward(self, a):
        self.a = a
        return a ** 2

    def backward(self, d):
        return 2 * self.a * d


class InverseRoot:
    """1 / sqrt(a + eps), the eps is in here"""

    def __init__(self, eps):
        self.eps = eps

    def forward(self, a):
        self.y = 1 / np.sqrt(a + self.eps)
        return self.y

    def backward(self, d):
        return -0.5 * self.y ** 3 * d


class Times:
    def forward(self, a, b):
        self.a, self.b = a, b
        return a * b

    def backward(self, d):
        return d * self.b, np.sum(d * self.a, axis=0, keepdims=True)


class Net:
    def __init__(self, eps):
        self.mean, self.minus, self.square, self.var = Mean(), Minus(), Square(), Mean()
        self.inv, self.norm, self.scale = InverseRoot(eps), Times(), Times()

    def forward(self, x, gamma, beta):
        m = self.mean.forward(x)
        c = self.minus.forward(x, m)
        v = self.var.forward(self.square.forward(c))
        h = self.norm.forward(c, self.inv.forward(v))
        return self.scale.forward(h, gamma.reshape(1, -1)) + beta, m[0], v[0]

    def backward(self, dout):
        dbeta = np.sum(dout, axis=0)
        dh, dgamma = self.scale.backward(dout)
        dc, di = self.norm.backward(dh)
        dc = dc + self.square.backward(self.var.backward(self.inv.backward(di)))
        dx, dm = self.minus.backward(dc)
        dx = dx + self.mean.backward(dm)
        return dx, dgamma[0], dbeta


def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param['mode']
    eps = bn_param.get('eps', 1e-5)
    momentum = bn_param.get('momentum', 0.9)
    running_mean = bn_param.get('running_mean', np.zeros(x.shape[1], dtype=x.dtype))
    running_var = bn_param.get('running_var', np.zeros(x.shape[1], dtype=x.dtype))
    net = Net(eps)
    if mode == 'train':
        out, m, v = net.forward(x, gamma, beta)
        running_mean = momentum * running_mean + (1 - momentum) * m
        running_var = momentum * running_var + (1 - momentum) * v
    elif mode == 'test':
        out = (x - running_mean) * net.inv.forward(running_var) * gamma + beta
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)
    bn_param['running_mean'] = running_mean
    bn_param['running_var'] = running_var
    return out, net


def batchnorm_backward(dout, cache):
    return cache.backward(dout)
