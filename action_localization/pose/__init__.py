"""The embedded action detector over body pose: the same weights read motion files and people found in video."""
