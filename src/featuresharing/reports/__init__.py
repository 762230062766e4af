"""What tables say, in words: the summary of a run, and tables as pages of the report. Frames in, text out."""
