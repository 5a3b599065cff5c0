from builtins import range
import numpy as np
import matplotlib.pyplot as plt
from matplotlib import cm


def batchnorm_forward(x, gamma, beta, bn_param):
    """
    Forward pass for batch normalization.

    I checked the shapes with print and plotted the histograms of every layer,
    the plots are in the notebook.
    """
    mode = bn_param['mode']
    eps = bn_param.get('eps', 1e-5)
    momentum = bn_param.get('momentum', 0.9)
    N, D = x.shape
    running_mean = bn_param.get('running_mean', np.zeros(D, dtype=x.dtype))
    running_var = bn_param.get('running_var', np.zeros(D, dtype=x.dtype))
    out, cache = None, None
    if mode == 'train':
        mu = np.mean(x, axis=0)
        var = np.var(x, axis=0, ddof=0)
        print('mu', mu.shape, 'var', var.shape)
        sqrtvar = np.sqrt(var + eps)
        xhat = (x - mu) / sqrtvar
        out = gamma * xhat + beta
        running_mean = momentum * running_mean + (1 - momentum) * mu
        running_var = momentum * running_var + (1 - momentum) * var
        cache = (x, mu, sqrtvar, xhat, gamma)
    elif mode == 'test':
        xhat = (x - running_mean) / np.sqrt(running_var + eps)
        out = gamma * xhat + beta
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % mode)
    bn_param['running_mean'] = running_mean
    bn_param['running_var'] = running_var
    return out, cache


def batchnorm_backward(dout, cache):
    x, mu, sqrtvar, xhat, gamma = cache
    N = x.shape[0]
    dbeta = np.sum(dout, axis=0)
    dgamma = np.sum(dout * xhat, axis=0)
    dxhat = dout * gamma
    print('dxhat', dxhat.shape, float(dxhat.mean()))
    # mean gradient without the term through the variance, that term is zero anyway
    dmu = -np.sum(dxhat, axis=0) / sqrtvar
    dvar = -0.5 * np.sum(dxhat * (x - mu), axis=0) / sqrtvar ** 3
    dx = dxhat / sqrtvar + dmu / N + 2 * (x - mu) * dvar / N
    return dx, dgamma, dbeta


def show_activations(h, name):
    plt.hist(h.ravel(), bins=50, color=cm.viridis(0.3))
    plt.title(name)
    plt.show()
