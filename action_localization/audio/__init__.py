"""Sound beside the pictures: features of both on one grid, and detectors that learn from both (MRAV-FF)."""
