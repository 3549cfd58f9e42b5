"""Floor 4: the families of executions. Each has its own words, records and routes; they never import each other."""
