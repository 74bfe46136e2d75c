"""Localization of actions named in plain words: no class list, no training on the classes asked for."""
