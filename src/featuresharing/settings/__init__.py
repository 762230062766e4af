"""Settings: what a config holds, and what is accepted."""
