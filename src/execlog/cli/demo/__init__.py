"""What `execlog demo` is made of: its home, its jobs, and what it says."""
