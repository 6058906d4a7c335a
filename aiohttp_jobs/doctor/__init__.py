"""What may be wrong with a data folder, the machine and a host. Looks and tells; changes nothing."""
