"""The first weights of a generator: it begins as linear interpolation, and training learns what that lacks."""

from __future__ import annotations

import torch

from scalesr.models.rrdb import SLOPE, RRDBNet


def start_as_linear(network: RRDBNet) -> RRDBNet:
    """Set the first weights so that the untrained network interpolates linearly, up to one hundredth of noise.

    Two features carry the image and its negative: the rectifier r has (r(x) - r(-x)) / (1 + slope) = x, so they cross
    every layer unharmed, and nearest doubling followed by [1 2 1] / 4 is linear interpolation. Plain networks of this
    kind spend their first minutes on learning just that. Where the input is folded into channels first (a scale of 2)
    the two features carry the mean of the folded pixels, and the network begins as an interpolation of that.

    Parameters
    ----------
    network
        Of one channel on input and on output, and at least two features; it is changed.
    """
    linear = torch.outer(torch.tensor([0.25, 0.5, 0.25]), torch.tensor([0.25, 0.5, 0.25]))
    delta = torch.zeros(3, 3)
    delta[1, 1] = 1.0
    sign = torch.tensor([1.0, -1.0])
    folded = network.conv_first.weight.shape[1]
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
            elif name.startswith("body") or name == "conv_last.weight":
                parameter.mul_(0.1)
        network.conv_first.weight[:2] = sign[:, None, None, None] * delta / folded
        network.conv_body.weight[:2] = 0.0
        pair = torch.outer(sign, sign) / (1 + SLOPE)
        for layer, kernel in ((network.conv_up1, linear), (network.conv_up2, linear), (network.conv_hr, delta)):
            layer.weight[:2] = 0.0
            # conv_body's output is not rectified, so conv_up1 sees x and -x whole
            share = 2 / (1 + SLOPE) if layer is network.conv_up1 else 1.0
            layer.weight[:2, :2] = (pair / share)[..., None, None] * kernel
        network.conv_last.weight[:, :2] = (sign / (1 + SLOPE))[None, :, None, None] * delta
    return network
