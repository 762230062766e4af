"""Which colour a unit has, and which a task: numbers, without what draws."""
