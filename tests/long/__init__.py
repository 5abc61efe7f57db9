"""The long tests: what takes minutes, run by `make test-long` and never by pytest."""
