"""What is known of how long phases take, before and while they work."""
