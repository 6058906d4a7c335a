"""What runs beside hosts, or where none does: workers, and what the command line does to an installation."""
