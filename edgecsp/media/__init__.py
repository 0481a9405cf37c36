"""Where frames come from and where results go: sources, sinks, the scheduler between them, drawing."""
