"""Recognition of trimmed clips by text: Attentive Semantic Units over regions of the body or of a picture."""
