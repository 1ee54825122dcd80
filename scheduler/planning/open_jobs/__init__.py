"""The plan of the jobs an engine knows of now: who gets which room, and what a plan made again may move."""
