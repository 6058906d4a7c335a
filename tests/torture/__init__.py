"""`make torture`: real hosts are killed and given sick disks at every step, and must lose nothing."""
