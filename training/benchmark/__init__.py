"""What worlds and learning cost: `stepping` against bare physics, `training` against the floor."""
