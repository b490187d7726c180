"""One recipe's settings varied over cells: the file that says which, the pool that runs them, the table, the plot."""
