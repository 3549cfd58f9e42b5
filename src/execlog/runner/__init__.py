"""Floor 3: what runs work. Jobs and their triggers, launchers, the runner of one process, and the scheduler."""
