"""Replay: recorded answers through the same loop, policies and records that serve requests."""
