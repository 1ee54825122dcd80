"""The best place of one job by itself: in one piece, in several, with a power or a number of GPUs that changes."""
