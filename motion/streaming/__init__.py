"""Streams of frames in use: prompts in DART's form, real time, recordings, and frames on a socket."""
