"""Text features: tokenizing, encoding, augmenting."""
