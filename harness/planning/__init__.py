"""What a run will need before anything is run: sizes, memory, tokens, hours, and what the cache already holds."""
