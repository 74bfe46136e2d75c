"""Online localization: streams in, each action the moment it ends out, with nothing known of what comes."""
