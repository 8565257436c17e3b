"""What a run leaves on the disk, and what long work says while it goes on."""
