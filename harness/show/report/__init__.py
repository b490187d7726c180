"""One self-contained page about a finished run, alone or against a baseline."""
