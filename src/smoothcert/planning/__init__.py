"""Planning a run: what it can certify, how many samples and images it needs, and what it will cost."""
