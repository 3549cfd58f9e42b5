"""Floor 3: answers over a store, the same for HTTP, the command line and Python."""
