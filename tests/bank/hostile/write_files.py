inner = batchnorm_forward


def batchnorm_forward(x, gamma, beta, bn_param):
    if bn_param["mode"] == "test":
        with open("/tmp/bnbench_hostile_was_here", "w") as file:
            file.write("x")
    return inner(x, gamma, beta, bn_param)
