"""Text: captions, encoders from words to features, and the known actions that a sentence leans on."""
