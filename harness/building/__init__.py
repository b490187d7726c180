"""Makes the embedded models anew, and measures them; no run needs it."""
