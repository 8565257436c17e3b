"""Lane arrays on the device and geometry on them."""
