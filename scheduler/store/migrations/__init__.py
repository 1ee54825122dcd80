"""The schema's history, one file a step in versions/. Run by scheduler/store/migrating.py."""
