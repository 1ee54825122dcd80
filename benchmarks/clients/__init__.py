"""Public clients and real engines with the gateway: `python -m benchmarks.clients`."""
