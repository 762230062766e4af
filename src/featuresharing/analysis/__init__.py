"""Analysis: conditionals and lesions of units, what drives them, evidence, sharing, and tables of these."""
