"""The plan of open jobs by more than grams: the same planner on a grid of costs, and what it costs in each unit."""
