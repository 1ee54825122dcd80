"""Other people's traces, read as they publish them, as the columns that a scenario reads."""
