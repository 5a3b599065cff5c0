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
        mu = np.mean(x, axis=0)
        xmu = x - mu
        var = np.mean(xmu**2, axis=0)
        std = np.sqrt(var + eps)
        xhat = xmu / std
        out = gamma*xhat + beta
        cache = (xmu, var, std, xhat, gamma)
        running_mean = momentum*running_mean + (1-momentum)*mu
        running_var = momentum*running_var + (1-momentum)*var
    elif mode == 'test':
        out = gamma*(x - running_mean)/np.sqrt(running_var + eps) + beta
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)
    bn_param['running_mean'] = running_mean
    bn_param['running_var'] = running_var
    return out, cache

def batchnorm_backward(dout, cache):
    xmu, var, std, xhat, gamma = cache
    dbeta = np.mean(dout, axis=0)
    dgamma = np.sum(xhat*dout, axis=0)
    dxhat = dout*gamma
    dxmu = dxhat/std
    dstd = np.sum(-xmu/std**2*dxhat, axis=0)
    dvar = dstd/2/std
    dxmu += 2*xmu*dvar/len(xmu)
    dx = dxmu - np.mean(dxmu, axis=0)
    return dx, dgamma, dbeta
