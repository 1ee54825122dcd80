"""What the grid emits: series, providers, cache, fallback, forecasts, zones. Imports no other package of Slacktide."""
