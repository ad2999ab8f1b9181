"""What a detection is, and the arithmetic on it: numpy and the standard library only."""
