"""Sources of frames, sinks of results, the scheduler between them, and drawing."""
