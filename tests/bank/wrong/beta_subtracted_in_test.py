import numpy as np

def batchnorm_forward(x, gamma, beta, bn_param):
    eps, momentum = bn_param.get('eps', 1e-5), bn_param.get('momentum', 0.9)
    D = x.shape[1]
    rmean, rvar = (bn_param.get(key, np.zeros(D)) for key in ('running_mean', 'running_var'))
    if bn_param['mode'] == 'train':
        tmp = x - np.mean(x, axis=0)
        tmp2 = np.sqrt(np.mean(tmp ** 2, axis=0) + eps)
        rmean = momentum * rmean + (1 - momentum) * np.mean(x, axis=0)
        rvar = momentum * rvar + (1 - momentum) * np.mean(tmp ** 2, axis=0)
        tmp = tmp / tmp2
        out = tmp * gamma
        out += beta
    elif bn_param['mode'] == 'test':
        tmp = x - rmean
        tmp2 = np.sqrt(rvar + eps)
        tmp = tmp / tmp2
        out = tmp * gamma
        out -= beta
    else:
        raise ValueError('unknown mode')
    bn_param['running_mean'], bn_param['running_var'] = rmean, rvar
    return out, (tmp, tmp2, gamma)

def batchnorm_backward(dout, cache):
    tmp, tmp2, gamma = cache
    dbeta = np.sum(dout, axis=0)
    dgamma = np.sum(dout * tmp, axis=0)
    dx = dout.copy()
    dx -= np.mean(dout, axis=0)
    dx -= tmp * np.mean(dout * tmp, axis=0)
    dx *= gamma
    dx /= tmp2
    return dx, dgamma, dbeta
