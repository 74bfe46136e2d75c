"""Anticipation by language: prompts with chosen examples, back ends behind one protocol, goals, plans and captions."""
