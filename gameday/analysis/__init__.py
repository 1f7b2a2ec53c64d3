"""What the numbers say: pure functions over values that others fetched."""
