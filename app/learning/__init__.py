"""What records teach: labels, beliefs about each tier, and how both fade."""
