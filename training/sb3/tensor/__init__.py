"""Roll-outs that stay on the device of the worlds, and the algorithms made with them."""
