"""What a step does: call a function or a tool, run a command, ask a model; and the context it does that in."""
