"""What to do next, worked out from beliefs: plans, look-ahead, climbing."""
