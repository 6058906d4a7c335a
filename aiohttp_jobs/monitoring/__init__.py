"""What those who look after a host ask of it: whether it lives, takes jobs, and how it fares."""
