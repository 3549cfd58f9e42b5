"""Floor 1: the caller's side. What is recorded goes to this process's journal at once, and from there to the store."""
