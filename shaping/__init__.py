"""Requests into batches, and the joules they cost. Imports no other package of Slacktide."""
