"""OpenSCENARIO XML 1.0 to 1.3: files as typed data, and the rows of their distributions."""
