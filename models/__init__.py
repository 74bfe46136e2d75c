"""What both directions share: motion, body, encoders, diffusion, objectives and data readers."""
