"""What all floors share: errors, files that are there whole or not at all, layouts."""
