import numpy as np

def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param['mode']
    eps = bn_param.get('eps', 1e-5)
    momentum = bn_param.get('momentum', 0.9)

    if mode == 'train':
        mu = np.average(x, axis=0)
        v = np.average(np.square(x - mu), axis=0)
        bn_param['running_mean'] = mu
        bn_param['running_var'] = v
        foo = x - mu
        bar = np.reciprocal(np.sqrt(v + eps))
        baz = np.multiply(foo, bar)
        out = np.add(np.multiply(gamma, baz), beta)
        return out, (foo, bar, baz, gamma)
    elif mode == 'test':
        foo = np.subtract(x, bn_param['running_mean'])
        baz = np.divide(foo, np.sqrt(bn_param['running_var'] + eps))
        return np.add(np.multiply(gamma, baz), beta), None
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)

def batchnorm_backward(dout, cache):
    foo, bar, baz, gamma = cache
    N = len(foo)
    dbeta = np.sum(dout, 0)
    dgamma = np.sum(np.multiply(dout, baz), 0)
    dbaz = np.multiply(dout, gamma)
    dbar = np.sum(np.multiply(dbaz, foo), 0)
    dfoo = np.multiply(dbaz, bar) - np.multiply(foo, np.power(bar, 3) * dbar) / N
    dx = np.subtract(dfoo, np.average(dfoo, axis=0))
    return dx, dgamma, dbeta
