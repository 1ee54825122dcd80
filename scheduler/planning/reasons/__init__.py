"""What can be said of a plan: why there and then, what was next best, and what would have to change."""
