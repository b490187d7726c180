"""Tables as data, and the six formats they are written in."""
