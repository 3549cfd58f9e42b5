"""What `execlog jobs` is made of."""
