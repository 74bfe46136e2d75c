"""The judge: a frozen network that scores motion. Nothing that makes, chooses or trains motion may import it."""
