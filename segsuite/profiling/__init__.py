"""What a model costs, by module, and where the time of a run goes."""
