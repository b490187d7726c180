"""One verdict on a comparison, for CI: the gate, and the baselines it compares with."""
