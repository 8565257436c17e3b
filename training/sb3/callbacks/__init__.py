"""What happens between the roll-outs of a training."""
