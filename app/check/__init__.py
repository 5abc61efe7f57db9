"""What is wrong with a configuration, found before it serves anybody."""
