"""Virtual time: the daemon's decisions on traces, simulated workers and emulated feeds."""
