import torch


def batchnorm_forward(x, gamma, beta, bn_param):
    return torch.nn.functional.batch_norm(torch.from_numpy(x), None, None, training=True).numpy(), x
