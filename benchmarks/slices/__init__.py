"""What it takes to find the rows of a slice, against reading their keys and against other programs."""
