"""A simulated provider of known skill, the questions it is asked, and a demo over both."""
