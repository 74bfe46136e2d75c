"""Streaming: primitives of 2 + 8 frames made one after another from words (DART), steered by noise or by a policy."""
