"""What the Snakefile asks: limits of jobs and names of targets, without torch."""
