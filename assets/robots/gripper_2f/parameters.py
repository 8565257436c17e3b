"""Numbers of a parallel gripper of the 2F-85 class, each with its source; lengths in metres.

Source:
    [2F] Robotiq, 2F-85 & 2F-140 Instruction Manual, section 6 (specifications): stroke, grip
        force, closing speed, mass, and its drawing for the overall length.
"""

# Opening between the pads when the fingers are apart [m] [2F].
STROKE = 0.085
# Adjustable force of each pad [N] [2F].
MIN_FORCE, MAX_FORCE = 20.0, 235.0
# Speed at which the opening changes [m/s] [2F].
MIN_SPEED, MAX_SPEED = 0.020, 0.150
# Of the whole gripper [kg] [2F]. Its share in the fingers is ours.
MASS = 0.9
FINGER_MASS = 0.07
# From the flange to the tips of the fingers [m], as the 2F-85's with closed fingers [2F].
LENGTH = 0.163

# Ours from here on.

# From the flange to the end of the housing [m].
PALM = 0.094
# Half sizes of a finger's collision box: along x, along the closing axis y, along z [m].
FINGER = (0.011, 0.006, 0.032)
# Length of the rubber pad at the tip of a finger [m]; the tcp is in its middle.
PAD = 0.025
# Friction coefficient of the rubber pads.
PAD_FRICTION = 0.8
# Inertia of the motor and its gear seen at a finger [kg], and the friction of its guide [N s/m].
ARMATURE, DAMPING = 0.5, 10.0
# Gains of the position controller of the opening [N/m, N s/m]: critically damped with the above.
STIFFNESS, VELOCITY_GAIN = 4000.0, 65.0
# Rubber gives way by under half a millimetre at full force: time constant [s] and damping ratio of
# a contact, and its impedance (least, largest, width [m]).
SOLREF, SOLIMP = (0.01, 1.0), (0.95, 0.99, 0.001)
