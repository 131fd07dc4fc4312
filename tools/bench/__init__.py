"""Measurements of this project beside its peers, taken in turns in one run: `python -m tools.bench --help`."""
