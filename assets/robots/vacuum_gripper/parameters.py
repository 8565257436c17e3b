"""Numbers of a vacuum gripper with four suction cups; lengths in metres, all of them ours.

They are of the size that a gripper for cartons on a small arm has. The holding force is no guess:
a cup holds with its vacuum times its area.
"""

from math import pi

# Plate under the flange: half lengths along x and y, thickness; and where its underside is.
PLATE = (0.062, 0.108, 0.012)
PLATE_END = 0.062
# From the flange to the plane of the lips.
LENGTH = 0.100
MASS = 1.1  # kg
# Middles of the cups from the axis of the flange, along x and y.
CUPS = ((0.045, 0.09), (0.045, -0.09), (-0.045, 0.09), (-0.045, -0.09))
CUP_RADIUS = 0.020
# A lip follows a face that is this far from its plane, and seals on one that is tilted so much.
LIP_STROKE = 0.003
MAX_TILT = 0.12  # rad
# Vacuum of a blower under a closed cup [Pa], and time constants of evacuating a closed cup and of
# venting one [s].
VACUUM = 30_000.0
EVACUATION, VENTING = 0.08, 0.04
# What a cup holds at full vacuum [N]: 37.7.
CUP_FORCE = VACUUM * pi * CUP_RADIUS**2
CUP_FRICTION = 0.6  # of a dry lip on board
# Bellows give way by a third of a millimetre at full force: time constant [s], damping ratio.
SOLREF = (0.01, 1.0)
