"""The human body: joint names, skinning of SMPL-X-format files, and retargeting onto it."""
