"""Two people: a reaction made from somebody else's motion and a text, live too."""
