"""What a job prints: caught, masked, and kept within bounds."""
