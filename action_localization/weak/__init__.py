"""Localization learnt from less than boundaries: the classes in a video, or one moment of each action."""
