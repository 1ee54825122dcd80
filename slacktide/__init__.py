"""The command line: composes the floors below it and decides nothing."""
