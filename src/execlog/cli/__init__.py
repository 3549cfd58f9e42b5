"""Floor 5: the command line. `main.main` is the console script; a command is a module, loaded when it is called."""
