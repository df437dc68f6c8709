"""A job that is due every second, in the schedulers that are compared. Each notes when it sends, and who it is."""
