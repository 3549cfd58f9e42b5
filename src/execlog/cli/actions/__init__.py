"""What the commands do, a module each: `execute(options, terminal)` runs it and gives the exit code."""
