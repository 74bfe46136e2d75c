"""What comes next: vocabularies of actions, priors and networks over their order, anticipation, plans and goals."""
