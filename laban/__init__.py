"""Laban writes and reads human movement: the score, configuration, checkpoints, workflows and command line."""

__version__ = "0.1.0"
