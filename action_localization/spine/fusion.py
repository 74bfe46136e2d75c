"""MRAV-FF: sound joined to every level of a visual pyramid, by windowed attention under a gate for each head.

Fish, Weinbren and Gilbert, Multi-Resolution Audio-Visual Feature Fusion for Temporal Action Localization, 2023. The
gate is a tanh that starts at 0 (as in Alayrac et al., NeurIPS 2022), so that training starts from the host. Attention
alone does not say where in its window a sound is, so the sound at the entry itself is added to what attention finds.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from action_localization.spine.encoder import Encoder, Level
from action_localization.spine.layers import masked, window_attention
from action_localization.spine.systems import MRAV, EncoderConfig
from laban.errors import LabanError


class LevelFusion(nn.Module):
    """What one level hears: visual entries attend to the sound around them, and two gates let it in."""

    def __init__(self, config: MRAV, width: int, *, causal: bool) -> None:
        super().__init__()
        self.heads = config.heads
        self.back = config.window - 1 if causal else config.window // 2
        self.ahead = 0 if causal else config.window // 2
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.gates = nn.Linear(2 * width, 2 * width)
        nn.init.zeros_(self.gates.weight)
        nn.init.zeros_(self.gates.bias)

    def forward(
        self, x: Float[Tensor, "batch time width"], sound: Float[Tensor, "batch time width"],
        heard: Bool[Tensor, "batch time"],
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """(what the class head reads, what the boundary head reads); where nothing is `heard`, x as it is."""
        query, key, value = self.query(x), self.key(sound), self.value(sound)
        around = window_attention(query, key, value, heard, heads=self.heads, back=self.back, ahead=self.ahead)
        found = sound + self.out(around)
        of_class, of_boundary = self.gates(torch.cat([x, found], -1)).tanh().chunk(2, -1)
        return x + masked(of_class * found, heard), x + masked(of_boundary * found, heard)


class AudioFusion(nn.Module):
    """The pyramid of the sound, and its way into each level of the visual one."""

    def __init__(self, config: MRAV, encoder: EncoderConfig) -> None:
        super().__init__()
        self.audio = config.audio
        self.encoder = Encoder(encoder, config.audio)
        self.levels = nn.ModuleList(
            LevelFusion(config, encoder.width, causal=encoder.causal) for _ in range(encoder.levels)
        )

    def split(
        self, features: Float[Tensor, "batch time columns"], mask: Bool[Tensor, "batch time"] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(visual columns, sound with zeros where there is none, where there is some)."""
        visual, sound, flag = features.split([features.shape[-1] - self.audio - 1, self.audio, 1], -1)
        heard = flag[..., 0] > 0.5
        heard = heard if mask is None else heard & mask
        return visual, torch.where(heard[..., None], sound, 0.0), heard

    def forward(
        self, levels: tuple[Level, ...], sound: Float[Tensor, "batch time audio"], heard: Bool[Tensor, "batch time"]
    ) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
        """(levels for the class head, levels for the boundary head)."""
        of_class, of_boundary = [], []
        heard_levels = self.encoder.pyramid(self.encoder.embed(sound, heard), heard)
        for fuse, (x, mask), (y, audible) in zip(self.levels, levels, heard_levels, strict=True):
            one, other = fuse(x, y, audible)
            of_class.append((one, mask))
            of_boundary.append((other, mask))
        return tuple(of_class), tuple(of_boundary)


def check_fusion(config: MRAV, encoder: EncoderConfig, features: int) -> None:
    """LabanError for sizes that do not fit together."""
    if features <= config.audio + 1 or config.audio < 1:
        raise LabanError(f"features are {features} wide, of which {config.audio} are sound and 1 says where it is; "
                         "accepted: at least one of pictures and one of sound")  # fmt: skip
    if config.window % 2 == 0 or encoder.width % config.heads:
        raise LabanError(f"window {config.window}, heads {config.heads}, width {encoder.width}; accepted: an odd "
                         "window, and a width that the heads divide")  # fmt: skip
