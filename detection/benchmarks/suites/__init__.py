"""What is timed: each file is a suite, whose ``cases(device=..., **settings)`` yields groups."""
