"""The paper's train step in PyTorch, to compare with; makes rounds of it.

Segmentor, critic, losses, optimizers and numbers of weights are those of
segan_tf with one label; as there, S(x) is computed once for both steps. It
needs PyTorch alone, in an environment of its own. See peer.py.

Usage: python benchmarks/torch_step.py WIDTH BATCH_SIZE FORMAT, with the memory
format contiguous_format or channels_last.
"""

import sys
from collections.abc import Callable

import torch
import turns
from torch import nn
from torch.nn import functional

SIDE = 128
CLIP = 0.01
LEARNING_RATE = 0.002
LEVELS = (1, 2, 4, 8)


def down(channels_in: int, channels: int, *, normalized: bool) -> nn.Module:
    """Builds a 4x4 convolution of stride 2."""
    layers: list[nn.Module] = [
        nn.Conv2d(channels_in, channels, 4, 2, 1, bias=not normalized)
    ]
    if normalized:
        layers.append(nn.BatchNorm2d(channels))
    return nn.Sequential(*layers, nn.LeakyReLU(0.2, inplace=True))


def levels(width: int) -> nn.ModuleList:
    """Builds the four levels that S's encoder and C have in common."""
    channels = [3, *(width * multiple for multiple in LEVELS)]
    return nn.ModuleList(
        down(channels[level], channels[level + 1], normalized=level > 0)
        for level in range(len(LEVELS))
    )


class Segmentor(nn.Module):
    """S, with skip connections between levels of a size."""

    def __init__(self, width: int) -> None:
        """Builds it."""
        super().__init__()
        self.encoder = levels(width)
        sizes = ((8, 4), (8, 2), (4, 1))  # in and out, of the width
        self.decoder = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width * a, width * b, 3, padding=1, bias=False),
                nn.BatchNorm2d(width * b),
                nn.ReLU(inplace=True),
            )
            for a, b in sizes
        )
        self.logits = nn.Conv2d(2 * width, 1, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns the predicted label map, in [0, 1]."""
        skips = []
        for level in self.encoder:
            x = level(x)
            skips.append(x)
        skips.pop()
        for level in self.decoder:
            x = torch.cat([level(_enlarge(x)), skips.pop()], dim=1)
        return torch.sigmoid(self.logits(_enlarge(x)))


class Critic(nn.Module):
    """C; returns the features of every level."""

    def __init__(self, width: int) -> None:
        """Builds it."""
        super().__init__()
        self.levels = levels(width)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Returns the features of a masked image."""
        features = []
        for level in self.levels:
            x = level(x)
            features.append(x)
        return features


def _enlarge(x: torch.Tensor) -> torch.Tensor:
    return functional.interpolate(
        x, scale_factor=2, mode="bilinear", align_corners=False
    )


def make_step(
    width: int, batch_size: int, memory_format: torch.memory_format
) -> Callable[[], object]:
    """Makes a function of a train step on one batch that is in memory."""
    torch.manual_seed(0)
    segmentor, critic = (
        model(width).to(memory_format=memory_format)
        for model in (Segmentor, Critic)
    )
    of_segmentor, of_critic = (
        torch.optim.Adam(model.parameters(), LEARNING_RATE)
        for model in (segmentor, critic)
    )
    shape = (batch_size, 3, SIDE, SIDE)
    image = torch.randn(shape).to(memory_format=memory_format)
    label_map = (torch.rand(batch_size, 1, SIDE, SIDE) > 0.5).float()

    def distance(predicted: torch.Tensor) -> torch.Tensor:
        features = (critic(image * m) for m in (predicted, label_map))
        scales = [(f - g).abs().mean() for f, g in zip(*features, strict=True)]
        return torch.stack(scales).mean()

    def step() -> float:
        predicted = segmentor(image)
        of_critic.zero_grad()
        (-distance(predicted.detach())).backward()
        of_critic.step()
        with torch.no_grad():
            for weight in critic.parameters():
                weight.clamp_(-CLIP, CLIP)
        of_segmentor.zero_grad()
        common = 2 * (predicted * label_map).sum((1, 2, 3))
        dice = common / (predicted + label_map).sum((1, 2, 3))
        loss = distance(predicted) + (1 - dice).mean()
        loss.backward()
        of_segmentor.step()
        return loss.item()

    counts = [
        sum(weight.numel() for weight in model.parameters())
        for model in (segmentor, critic)
    ]
    print(f"PyTorch {torch.__version__}, weights {counts}", file=sys.stderr)
    return step


if __name__ == "__main__":
    size = int(sys.argv[2])
    turns.serve(
        make_step(int(sys.argv[1]), size, getattr(torch, sys.argv[3])), size
    )
