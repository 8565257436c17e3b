"""Road networks from ASAM OpenDRIVE files (.xodr), versions 1.4 to 1.8."""
