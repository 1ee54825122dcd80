"""Published tables, recomputed: one module for each study, and what all of them share."""
