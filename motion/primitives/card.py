"""The model card of a streaming checkpoint."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from models.data.dataset import ClipRecord
from motion.primitives.network import PrimitiveConfig
from motion.train import VARIANTS

STAGES = ("VAE", "denoiser", "student")


def model_card(
    variant: str, config: PrimitiveConfig, records: Sequence[ClipRecord], steps: Sequence[int], before: str = ""
) -> str:
    """The README of a checkpoint trained for so many steps a stage, from the weights with the digest `before`."""
    begun = f", from weights with the SHA-256 {before[:12]} (`--init`)" if before else ""
    hours = sum(record.seconds for record in records) / 3600
    licences = "\n".join(f"- {n} clips: {name}" for name, n in Counter(r.license for r in records).most_common())
    known = ", ".join(f"{action} ({count})" for action, count in config.known)
    return f"""# Streaming primitives `{variant}`

Motion from a stream of words (after DART, Zhao et al., ICLR 2025): primitives of 2 history and 8 future frames at
30 fps ({config.representation}) in the latent of a transformer VAE ({config.tokens} x {config.latent} numbers), a
latent denoiser conditioned on history and on the tokens and sentence vector of the text encoder `{config.text}`, and a
student that does in one or two unguided steps what the denoiser does in eight guided ones.

- **Trained on**: {len(records)} clips ({hours:.2f} h) of the `train` split: {VARIANTS[variant]}.
- **Licence of these weights**: {config.licence}. Licences of the clips:
{licences}
- **Steps**: {", ".join(f"{count:,} of the {name}" for count, name in zip(steps, STAGES, strict=True))}{begun}.
- **Command**: `laban train primitives --variant {variant} --dataset DATASET --steps {" ".join(map(str, steps))}`.
- **Measured**: see the tables of the project's README (`python benchmarks/stream.py`).
- **Known actions** (clips): {known}.
- **Weak at**: actions with one or two clips, fingers (never moved), objects and other people (not modelled), changes
  between postures far apart that no clip shows.
"""
