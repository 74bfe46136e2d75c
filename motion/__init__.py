"""A score in, human motion out: generation, post-processing and evaluation."""
