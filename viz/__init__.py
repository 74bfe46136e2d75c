"""Drawing: bodies, skeletons, timelines and video."""
