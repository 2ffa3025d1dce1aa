"""List the models that `segsuite.create_model` builds by name, each with its paper."""
