"""What the commands take, a module each: `configure(parser)` declares arguments. Cheap to load: help needs no more."""
