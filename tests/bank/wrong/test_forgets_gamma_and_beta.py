import numpy as np

def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param['mode']
    eps = bn_param.get('eps', 1e-5)
    momentum = bn_param.get('momentum', 0.9)
    N, D = x.shape
    running_mean = bn_param.get('running_mean', np.zeros(D, dtype=x.dtype))
    running_var = bn_param.get('running_var', np.zeros(D, dtype=x.dtype))
    if mode == 'train':
        mean = np.sum(x, axis=0) / N
        var = np.sum((x - mean)**2, axis=0) / N
        bn_param.update(xn=(x - mean) / np.sqrt(var + eps), sigma=np.sqrt(var + eps), gamma=gamma)
        out = gamma * bn_param['xn'] + beta
        bn_param['running_mean'] = momentum * running_mean + (1 - momentum) * mean
        bn_param['running_var'] = momentum * running_var + (1 - momentum) * var
    elif mode == 'test':
        out = (x - running_mean) / np.sqrt(running_var + eps)
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)
    return out, bn_param

def batchnorm_backward(dout, cache):
    xn, sigma, gamma = cache['xn'], cache['sigma'], cache['gamma']
    N = dout.shape[0]
    dbeta = np.sum(dout, axis=0)
    dgamma = np.sum(xn * dout, axis=0)
    dxn = gamma * dout
    dsigma = np.sum(-dxn * xn / sigma, axis=0)
    dx = dxn / sigma + dsigma * xn / N
    dx -= np.mean(dx, axis=0)
    return dx, dgamma, dbeta
