"""Every regime of localization on the same streams: their data, and the one table of all systems."""
