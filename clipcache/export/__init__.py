"""What leaves a run, one format a file; each file's `export` writes it."""
