"""Streams of gym clips with background between them: a small, hard test of detectors on real I3D features."""
