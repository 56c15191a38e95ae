"""What is measured, against what, and whether the answer was right."""
