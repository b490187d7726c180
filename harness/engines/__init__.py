"""Who answers and who scores: the one seam between the harness and models that run.

`engine.py` says what an engine is and opens one; one file an engine says how it works.
"""
