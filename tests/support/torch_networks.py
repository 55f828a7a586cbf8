"""Networks of torchvision and timm, made to compute what slim's do: its strides, its epsilon, its pools."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from tests.support.slim_networks import CLASSES, MULTIPLIER, RESNET_UNITS, RESNET_WIDTH


def resnet() -> Any:
    """Return a ResNet of bottlenecks that halves the image where slim does: last in a block, not first."""
    import torch
    from torchvision.models.resnet import Bottleneck, ResNet

    network = ResNet(Bottleneck, list(RESNET_UNITS), CLASSES, width_per_group=RESNET_WIDTH)
    for block in (network.layer2, network.layer3, network.layer4):
        block[0].conv2.stride = block[0].downsample[0].stride = (1, 1)
    for block in (network.layer1, network.layer2, network.layer3):
        last = block[-1]
        last.conv2.stride = (2, 2)
        if last.downsample is None:
            last.downsample = torch.nn.MaxPool2d(1, 2)
        else:
            last.downsample[0].stride = (2, 2)
    return network


def mobilenet_v2() -> Any:
    """Return a MobileNet v2 with slim's epsilon."""
    import torch
    from torchvision.models import MobileNetV2

    norm = partial(torch.nn.BatchNorm2d, eps=1e-3)
    return MobileNetV2(num_classes=CLASSES, width_mult=MULTIPLIER, norm_layer=norm)


def inception_v3() -> Any:
    """Return an Inception v3 whose average pools leave out the padding, as those of TensorFlow do."""
    import torch
    from torchvision.models import Inception3

    functional = torch.nn.functional
    functional.avg_pool2d = partial(functional.avg_pool2d, count_include_pad=False)
    return Inception3(num_classes=CLASSES, transform_input=False, init_weights=False)


def googlenet() -> Any:
    """Return a GoogLeNet, which is slim's Inception v1, without its auxiliary logits."""
    from torchvision.models import GoogLeNet

    return GoogLeNet(num_classes=CLASSES, aux_logits=False, transform_input=False, init_weights=False)


def _of_timm(name: str) -> Any:
    import timm

    return timm.create_model(name, num_classes=CLASSES)


NETWORKS: Mapping[str, Callable[[], Any]] = {
    "torchvision resnet": resnet,
    "torchvision mobilenet_v2": mobilenet_v2,
    "torchvision googlenet": googlenet,
    "torchvision inception_v3": inception_v3,
    "timm inception_v4": partial(_of_timm, "inception_v4"),
    "timm inception_resnet_v2": partial(_of_timm, "inception_resnet_v2"),
}
"""By the names that they have here."""
