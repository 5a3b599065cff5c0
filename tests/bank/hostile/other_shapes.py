inner = batchnorm_backward


def batchnorm_backward(dout, cache):
    dx, dgamma, dbeta = inner(dout, cache)
    return dx.T, dgamma.sum(), dbeta
