"""The SMPL-X motion encoder: motion and text on one sphere, for retrieval, re-ranking and localization."""
