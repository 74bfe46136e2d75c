"""Named, invertible motion representations: how a clip becomes a (frames, features) array and back."""
