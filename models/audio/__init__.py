"""Sound in: the sound track of a video or a sound file as features."""
