"""Readers of motion formats and the on-disk training set."""
