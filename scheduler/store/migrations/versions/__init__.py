"""Each step is final once released: a change of the schema is a new file."""
