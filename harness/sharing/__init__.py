"""A trained judge is shared: exported as a model folder with its card, pushed to the hub, served at an address."""
