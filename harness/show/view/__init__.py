"""The pages over all runs, made when they are asked for, on this machine alone."""
