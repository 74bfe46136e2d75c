"""Temporal action localization on feature sequences: one pyramid detector, and the systems made of its parts."""
