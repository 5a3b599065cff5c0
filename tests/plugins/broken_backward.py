"""A plugin with one bug: dx lacks the term through the variance."""

from bnbench import Capabilities, Implementation, check_arguments


def forward(x, gamma, beta, running_mean, running_var, /, *, training, eps, momentum):
    check_arguments(x, gamma, beta, running_mean, running_var, training=training)
    channels = (-1,) + (1,) * (x.ndim - 2)
    axes = (0, *range(2, x.ndim))
    mean, var = running_mean, running_var
    if training and x.size:  # an empty batch has no statistics
        mean, var = x.mean(axes), x.var(axes)
        running_mean = (1 - momentum) * running_mean + momentum * mean
        running_var = (1 - momentum) * running_var + momentum * var
    x_hat = (x - mean.reshape(channels)) / ((var + eps) ** 0.5).reshape(channels)

    def vjp(dy):
        dx_hat = dy * gamma.reshape(channels)
        dx = dx_hat - dx_hat.mean(axes, keepdims=True) if training and x.size else dx_hat
        return dx / ((var + eps) ** 0.5).reshape(channels), (dy * x_hat).sum(axes), dy.sum(axes)

    y = gamma.reshape(channels) * x_hat + beta.reshape(channels)
    return y, (running_mean.copy(), running_var.copy()), vjp


implementation = Implementation(
    name="broken_backward",
    load=lambda: forward,
    summary="dx lacks the term through the variance",
    capabilities=Capabilities(running_var_ddof=0),
)
