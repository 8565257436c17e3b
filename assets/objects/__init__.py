"""Things that robots handle, made by code in true dimensions: each file names its source."""
