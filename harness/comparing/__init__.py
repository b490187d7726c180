"""Two or more runs: paired differences, what they say in words, plans, the audit of published rows."""
