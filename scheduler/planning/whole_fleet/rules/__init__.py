"""Rules that the joint planner does not know (order, budgets, transfers), kept by narrowing jobs' windows."""
