import numpy as np


def batchnorm_forward(x, gamma, beta, bn_param):
    eps, momentum = bn_param.get('eps', 1e-5), bn_param.get('momentum', 0.9)
    N, D = x.shape
    old_mean = bn_param.setdefault('running_mean', np.zeros(D, dtype=x.dtype))
    old_var = bn_param.setdefault('running_var', np.zeros(D, dtype=x.dtype))
    if bn_param['mode'] == 'train':
        # P takes the mean away from every column
        P = np.eye(N) - np.full((N, N), 1. / N)
        Y = P.dot(x)
        length = np.linalg.norm(Y, axis=0)
        radius = np.sqrt(length ** 2 / N + eps)
        bn_param['running_mean'] = momentum * old_mean + (1 - momentum) * np.dot(np.ones(N) / N, x)
        bn_param['running_var'] = momentum * old_var + (1 - momentum) * length ** 2 / N
        return gamma * (Y / radius) + beta, [P, Y, radius, gamma]
    elif bn_param['mode'] == 'test':
        return (x - old_mean).dot(np.diag(gamma / np.sqrt(old_var + eps))) + beta, None
    else:
        raise ValueError('Invalid forward batchnorm mode "%s"' % bn_param['mode'])


def batchnorm_backward(dout, cache):
    """ the honest way: write down the N x N Jacobian of every column and multiply """
    P, Y, radius, gamma = cache
    N, D = dout.shape
    columns = []
    for j in range(D):
        u = Y[:, j] / radius[j]
        J = gamma[j] / radius[j] * (P - np.outer(u, u) / N)
        columns.append(J.T @ dout[:, j])
    dgamma = np.diag(dout.T @ (Y / radius))
    return np.stack(columns, axis=1), dgamma, dout.T @ np.ones(N)


def layernorm_forward(x, gamma, beta, ln_param):
    eps = ln_param.get('eps', 1e-5)
    D = x.shape[1]
    P = np.eye(D) - 1. / D
    Y = x @ P
    radius = np.sqrt((Y * Y) @ np.ones((D, 1)) / D + eps)
    return Y / radius * gamma + beta, (P, Y, radius, gamma)


def layernorm_backward(dout, cache):
    P, Y, radius, gamma = cache
    U = Y / radius
    rows = [(P - np.outer(u, u) / len(u)) @ (gamma * d) / r for u, d, r in zip(U, dout, radius)]
    return np.array(rows), np.einsum('nd,nd->d', dout, U), np.einsum('nd->d', dout)
