"""Learned planners: from a start, a goal and a task to the steps between."""
