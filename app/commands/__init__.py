"""The commands that look at records, decisions and reports."""
