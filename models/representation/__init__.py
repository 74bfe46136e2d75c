"""Invertible feature layouts of motion."""
