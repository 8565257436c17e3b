"""Triangle meshes: reading, units, repair, mass, convex parts, simplification, distance.

Every step returns the mesh and what it changed, a `Changed`, so that nothing happens in silence.
"""
