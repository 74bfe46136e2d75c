"""Video or motion in, a score out: localization, anticipation and planning."""
