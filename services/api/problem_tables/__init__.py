"""What each room's errors look like from outside, a table per room."""
