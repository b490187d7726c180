"""The judge: how it is asked, how it is loaded, and how it answers."""
