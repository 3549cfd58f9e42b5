"""Floor 0: the pure part. No I/O, no threads, no clock of its own."""
