import numpy as np

# All four norms are the same thing once the array is cut into rows that are normalized together.


def _rows_forward(rows, eps):
    centred = rows - np.add.reduce(rows, axis=1, keepdims=True) / rows.shape[1]
    power = (centred * centred).sum(axis=1, keepdims=True) / rows.shape[1]
    return centred / (power + eps) ** 0.5, power, eps


def _rows_backward(drows, saved):
    hat, power, eps = saved
    count = hat.shape[1]
    dpower = -0.5 * (drows * hat).sum(axis=1, keepdims=True) / (power + eps)
    dcentred = drows / (power + eps) ** 0.5 + 2 / count * dpower * hat * (power + eps) ** 0.5
    return dcentred - dcentred.sum(axis=1, keepdims=True) / count


def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param['mode']
    eps = bn_param.get('eps', 1e-5)
    if mode == 'train':
        saved = _rows_forward(x.T, eps)
        keep = bn_param.get('momentum', 0.9)
        for name, new in (('running_mean', x.T.mean(1)), ('running_var', saved[1][:, 0])):
            bn_param[name] = keep * bn_param.get(name, np.zeros_like(new)) + (1 - keep) * new
        return saved[0].T * gamma + beta, (saved, gamma)
    if mode == 'test':
        zero = np.zeros(x.shape[1], dtype=x.dtype)
        shifted = x - bn_param.get('running_mean', zero)
        return shifted / np.sqrt(bn_param.get('running_var', zero) + eps) * gamma + beta, None
    raise ValueError('Invalid forward batchnorm mode "%s"' % mode)


def batchnorm_backward(dout, cache):
    saved, gamma = cache
    return _rows_backward((dout * gamma).T, saved).T, (dout * saved[0].T).sum(0), dout.sum(0)


def layernorm_forward(x, gamma, beta, ln_param):
    saved = _rows_forward(x, ln_param.get('eps', 1e-5))
    return saved[0] * gamma + beta, (saved, gamma)


def layernorm_backward(dout, cache):
    saved, gamma = cache
    return _rows_backward(dout * gamma, saved), (dout * saved[0]).sum(0), dout.sum(0)


def spatial_batchnorm_forward(x, gamma, beta, bn_param):
    swapped = np.swapaxes(x, 0, 1)
    out, cache = batchnorm_forward(swapped.reshape(len(swapped), -1).T, gamma, beta, bn_param)
    return np.swapaxes(out.T.reshape(swapped.shape), 0, 1), cache


def spatial_batchnorm_backward(dout, cache):
    swapped = np.swapaxes(dout, 0, 1)
    dx, dgamma, dbeta = batchnorm_backward(swapped.reshape(len(swapped), -1).T, cache)
    return np.swapaxes(dx.T.reshape(swapped.shape), 0, 1), dgamma, dbeta


def spatial_groupnorm_forward(x, gamma, beta, G, gn_param):
    saved = _rows_forward(x.reshape(len(x) * G, -1), gn_param.get('eps', 1e-5))
    return saved[0].reshape(x.shape) * gamma + beta, (saved, gamma)


def spatial_groupnorm_backward(dout, cache):
    saved, gamma = cache
    hat = saved[0].reshape(dout.shape)
    drows = (dout * gamma).reshape(saved[0].shape)
    sums = [np.sum(a, axis=(0, 2, 3), keepdims=True) for a in (dout * hat, dout)]
    return _rows_backward(drows, saved).reshape(dout.shape), sums[0], sums[1]
