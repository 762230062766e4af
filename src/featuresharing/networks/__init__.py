"""Networks: their architecture, their training and the checkpoints that training leaves."""
