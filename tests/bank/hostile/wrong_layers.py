# The layers of one who did nothing: y is x, gradients are dout. Attacks are appended to it.
import numpy as np


def batchnorm_forward(x, gamma, beta, bn_param):
    return x + 0.0, x


def batchnorm_backward(dout, cache):
    return dout + 0.0, dout.sum(axis=0), dout.mean(axis=0)


def batchnorm_backward_alt(dout, cache):
    return dout + 0.0, dout.sum(axis=0), dout.mean(axis=0)
