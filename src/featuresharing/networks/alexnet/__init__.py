"""The multi-task AlexNet: its sizes, architecture and training."""
