"""What both siblings stand on: the root of the error tree and versioned tables. Knows no app."""
