"""Checks for problems of a data folder, the machine and a host. Changes nothing."""
