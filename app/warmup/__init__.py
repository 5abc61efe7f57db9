"""`autoshift warmup`: all tiers answer some of the user's own prompts, at a price that is shown."""
