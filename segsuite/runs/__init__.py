"""The folder of a run: its files, its lock, what it notes about itself."""
