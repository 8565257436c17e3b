"""What has been trained and swept: found, compared, tagged, pruned, and told on a card."""
