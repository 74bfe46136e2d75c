"""Video in: decoding, people and features."""
