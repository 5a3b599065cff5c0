import numpy as np

# v holds the value of every node, g the gradient of every node. like a tiny autograd


def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param['mode']
    v = {'x': x, 'gamma': gamma, 'beta': beta}
    v['eps'] = bn_param.get('eps', 1e-5)
    momentum = bn_param.get('momentum', 0.9)
    N, D = x.shape
    for key in ('running_mean', 'running_var'):
        if key not in bn_param:
            bn_param[key] = np.zeros(D, dtype=x.dtype)

    if mode == 'train':
        v['mean'] = v['x'].sum(0, keepdims=True) / N
        v['diff'] = v['x'] - v['mean']
        v['diff2'] = v['diff'] * v['diff']
        v['var'] = v['diff2'].sum(0, keepdims=True) / N
        v['std'] = np.sqrt(v['var'] + v['eps'])
        v['xhat'] = v['diff'] / v['std']
        v['out'] = v['xhat'] * v['gamma'] + v['beta']
        bn_param['running_mean'] = momentum * bn_param['running_mean'] + (1 - momentum) * v['mean'].ravel()
        bn_param['running_var'] = momentum * bn_param['running_var'] + (1 - momentum) * v['var'].ravel()
    elif mode == 'test':
        v['xhat'] = (x - bn_param['running_mean']) / np.sqrt(bn_param['running_var'] + v['eps'])
        v['out'] = v['xhat'] * gamma + beta
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)
    return v['out'], v


def batchnorm_backward(dout, cache):
    v = cache
    N = dout.shape[0]
    g = {'out': dout}
    g['beta'] = g['out'].sum(0)
    g['gamma'] = (g['out'] * v['xhat']).sum(0)
    g['xhat'] = g['out'] * v['gamma']
    g['diff'] = g['xhat'] / v['std']
    g['std'] = (g['xhat'] * -v['diff'] / v['std'] ** 2).sum(0, keepdims=True)
    g['var'] = g['std'] / (2 * v['std'])
    g['diff2'] = np.repeat(g['var'] / N, N, axis=0)
    g['diff'] = g['diff'] + v['diff'] * g['diff2']
    g['mean'] = -g['diff'].sum(0, keepdims=True)
    g['x'] = g['diff'] + np.repeat(g['mean'] / N, N, axis=0)
    return g['x'], g['gamma'], g['beta']
