"""The default localizer's network: dense, anchor-free, fully convolutional.

Per class a heat map of object centres (Zhou et al., "Objects as Points", 2019) and per pixel the four distances
to the box edges (Tian et al., "FCOS", 2019) and how well that box fits, all at a quarter of the input's resolution.
"""

from __future__ import annotations

import copy
import math
from typing import Annotated

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

Width = Annotated[int, Field(ge=1, le=2048)]
Depth = Annotated[int, Field(ge=0, le=32)]

STRIDE = 4
"""Pixels of the input for one cell of the output."""

MULTIPLE = 32
"""Height and width of the input must be multiples of this."""

DISTANCE_UNIT = 8.0
"""Distances are predicted in logarithms of this many pixels, so that zero is a sensible start."""


class NetworkConfig(BaseModel):
    """Size of a network.

    Attributes
    ----------
    classes : int
        Number of heat maps.
    widths : tuple of int
        Channels at strides 2, 4, 8, 16 and 32.
    depths : tuple of int
        Residual blocks at strides 4, 8, 16 and 32.
    decoder, head : int
        Channels of the decoder at strides 8 and 16, and of the head at stride 4.
    """

    classes: int = Field(ge=1, le=1000)
    widths: tuple[Width, Width, Width, Width, Width] = (24, 48, 80, 144, 224)
    depths: tuple[Depth, Depth, Depth, Depth] = (1, 2, 2, 2)
    decoder: Width = 64
    head: Width = 48


class ConvNorm(nn.Sequential):
    """Convolution, batch normalisation and, unless told otherwise, a rectifier."""

    def __init__(self, inputs: int, outputs: int, size: int = 3, stride: int = 1, *, act: bool = True) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        if act:
            layers.append(nn.ReLU(inplace=True))
        super().__init__(*layers)


class Residual(nn.Module):
    """Two 3 x 3 convolutions beside the identity (He et al., 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = ConvNorm(width, width)
        self.second = ConvNorm(width, width, act=False)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.second(self.first(x)) + x, inplace=True)


class HeatmapNetwork(nn.Module):
    """Encoder of residual stages, top-down decoder and one head.

    Parameters
    ----------
    config : NetworkConfig
        Its widths and depths.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        widths, depths, decoder, head = config.widths, config.depths, config.decoder, config.head
        self.stem = ConvNorm(3, widths[0], stride=2)
        self.stages = nn.ModuleList(
            nn.Sequential(ConvNorm(before, width, stride=2), *(Residual(width) for _ in range(depth)))
            for before, width, depth in zip(widths[:-1], widths[1:], depths, strict=True)
        )
        self.laterals = nn.ModuleList(
            ConvNorm(width, out, 1, act=False)
            for width, out in zip(widths[1:], (head, decoder, decoder, decoder), strict=True)
        )
        self.smooth16 = ConvNorm(decoder, decoder)
        self.smooth8 = ConvNorm(decoder, decoder)
        self.reduce = ConvNorm(decoder, head, 1, act=False)
        self.tower = ConvNorm(head, head)
        self.heatmap = nn.Conv2d(head, config.classes, 1)
        self.distances = nn.Conv2d(head, 4, 1)
        self.quality = nn.Conv2d(head, 1, 1)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        # Objects are rare: start from a low probability so that the background does not drown the first steps.
        nn.init.normal_(self.heatmap.weight, std=0.01)
        nn.init.constant_(self.heatmap.bias, -math.log(99))  # type: ignore[arg-type]
        nn.init.normal_(self.distances.weight, std=0.01)
        nn.init.zeros_(self.distances.bias)  # type: ignore[arg-type]
        nn.init.normal_(self.quality.weight, std=0.01)
        nn.init.zeros_(self.quality.bias)  # type: ignore[arg-type]

    def features(self, x: Tensor) -> Tensor:
        """Return the (B, head, H / 4, W / 4) features that all outputs share."""
        return self.pyramid(x)[0]

    def pyramid(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return features from fine to coarse.

        Returns
        -------
        shared : (B, head, H / 4, W / 4) Tensor
            What all outputs share.
        near, far : (B, widths[1], H / 4, W / 4), (B, widths[2], H / 8, W / 8) Tensor
            Of the encoder.
        context : (B, decoder, H / 8, W / 8) Tensor
            Of the decoder.
        """
        x = self.stem(x)
        levels = []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        s4, s8, s16, s32 = (lateral(level) for lateral, level in zip(self.laterals, levels, strict=True))
        top = functional.interpolate(functional.relu(s32), scale_factor=2.0, mode="nearest")
        top = self.smooth16(functional.relu(s16 + top))
        top = functional.interpolate(top, scale_factor=2.0, mode="nearest")
        context = self.smooth8(functional.relu(s8 + top))
        top = functional.interpolate(self.reduce(context), scale_factor=2.0, mode="bilinear", align_corners=False)
        return self.tower(functional.relu(s4 + top)), levels[0], levels[1], context

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run the network.

        Parameters
        ----------
        x : (B, 3, H, W) Tensor
            H and W multiples of 32.

        Returns
        -------
        heat : (B, classes, H / 4, W / 4) Tensor
            Logits of an object's centre lying in the cell.
        distances : (B, 4, H / 4, W / 4) Tensor
            Pixels of the input from the cell's centre to the left, top, right and bottom edge.
        quality : (B, 1, H / 4, W / 4) Tensor
            Logits of the overlap (intersection over union) of that box with the object
            (Jiang et al., "Acquisition of Localization Confidence", 2018).
        """
        return self.answers(self.features(x))

    def answers(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return what `forward` does, from the shared features."""
        distances = torch.exp(self.distances(features).float().clamp(-5, 5)) * DISTANCE_UNIT
        return self.heatmap(features), distances, self.quality(features)

    def fused(self) -> HeatmapNetwork:
        """Return a copy for running only, with every normalisation folded into its convolution."""
        twin = copy.deepcopy(self).eval().requires_grad_(False)
        for module in twin.modules():
            if isinstance(module, ConvNorm):
                module[0] = fuse_conv_bn_eval(module[0], module[1])  # type: ignore[arg-type, type-var]
                module[1] = nn.Identity()
        return twin
