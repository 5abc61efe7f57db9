"""Measurements, not tests: what `make bench` runs."""
