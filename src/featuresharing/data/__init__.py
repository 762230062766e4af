"""Where images come from: drawings, the words drawn over them, image lists and how images become arrays."""
