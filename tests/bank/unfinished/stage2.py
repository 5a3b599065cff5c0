import numpy as np


def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param['mode']
    eps = bn_param.get('eps', 1e-5)
    momentum = bn_param.get('momentum', 0.9)

    N, D = x.shape
    running_mean = bn_param.get('running_mean', np.zeros(D, dtype=x.dtype))
    running_var = bn_param.get('running_var', np.zeros(D, dtype=x.dtype))

    out, cache = None, None
    if mode == 'train':
        mini_mean = np.sum(x, axis=0) / N
        centered = x - mini_mean
        mini_var = np.sum(centered ** 2, axis=0) / N
        x_norm = centered - np.sqrt(mini_var + eps)
        out = gamma * x_norm + beta

        running_mean = momentum * running_mean + (1 - momentum) * mini_mean
        running_var = momentum * running_var + (1 - momentum) * mini_var
        cache = (x, x_norm, mini_mean, mini_var, gamma, beta, eps)
    elif mode == 'test':
        # TODO
        pass
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)

    # Store the updated running means back into bn_param
    bn_param['running_mean'] = running_mean
    bn_param['running_var'] = running_var

    return out, cache


def batchnorm_backward(dout, cache):
    dx, dgamma, dbeta = None, None, None
    # TODO: backward pass, unroll the intermediate variables
    pass
    return dx, dgamma, dbeta
