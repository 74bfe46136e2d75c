"""Grounding: a sentence in, the stretches of a video that it is true of out."""
