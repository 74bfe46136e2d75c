"""Score to motion: generators and their control."""
