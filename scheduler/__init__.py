"""Jobs, plans, queue, ledger, launchers and the daemon. Imports shaping and intensity_feeds only."""
