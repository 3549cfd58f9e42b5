"""The commands, a module each: `configure(parser)` declares arguments, `execute(options, terminal)` runs it."""
