"""Numbers of the Universal Robots UR5e, each with its source; frames are the maker's DH frames.

Sources:
    [DH] Universal Robots, "DH Parameters for calculations of kinematics and dynamics",
        universal-robots.com/articles/ur/application-installation/
        dh-parameters-for-calculations-of-kinematics-and-dynamics
    [URDF] Universal Robots, Universal_Robots_ROS2_Description, config/ur5e:
        physical_parameters.yaml and joint_limits.yaml
"""

from dataclasses import dataclass
from math import pi

from proveout.assets.kinematics import DhLink

Vector = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Joint:
    """A joint, the link it moves, and the position controller of the joint.

    Attributes:
        name: Name of the joint and of its actuator.
        link: Name of the link that the joint moves.
        dh: Row of the DH table [DH].
        mass: Mass of the link [kg] [DH].
        center_of_mass: In the link's DH frame [m] [DH].
        inertia: xx, yy, zz, xy, xz, yz about the centre of mass, in the axes of the link's DH
            frame [kg m^2] [URDF].
        limit: Largest angle to either side [rad] [URDF].
        max_velocity: [rad/s] [URDF].
        max_torque: [N m] [URDF].
        armature: Inertia of the motor's rotor seen through the gear [kg m^2]; ours.
        damping: Viscous friction [N m s/rad]; ours.
        stiffness: Gain of the position controller [N m/rad]; ours.
        velocity_gain: Gain of the position controller [N m s/rad]; ours.
    """

    name: str
    link: str
    dh: DhLink
    mass: float
    center_of_mass: Vector
    inertia: tuple[float, float, float, float, float, float]
    limit: float
    max_velocity: float
    max_torque: float
    armature: float
    damping: float
    stiffness: float
    velocity_gain: float


JOINTS = (
    Joint(
        name="shoulder_pan",
        link="shoulder",
        dh=DhLink(d=0.1625, alpha=pi / 2),
        mass=3.761,
        center_of_mass=(0.0, -0.02561, 0.00193),
        inertia=(0.00700210, 0.00648091, 0.00657286, 0.00000073, -0.00001053, 0.00049994),
        limit=2 * pi,
        max_velocity=pi,
        max_torque=150.0,
        armature=0.6,
        damping=2.0,
        stiffness=3000.0,
        velocity_gain=260.0,
    ),
    Joint(
        name="shoulder_lift",
        link="upper_arm",
        dh=DhLink(a=-0.425),
        mass=8.058,
        center_of_mass=(0.2125, 0.0, 0.11336),
        inertia=(0.01505885, 0.33388086, 0.33247207, -0.00005400, 0.00000563, -0.00000181),
        limit=2 * pi,
        max_velocity=pi,
        max_torque=150.0,
        armature=0.6,
        damping=2.0,
        stiffness=3000.0,
        velocity_gain=260.0,
    ),
    Joint(
        name="elbow",
        link="forearm",
        dh=DhLink(a=-0.3922),
        mass=2.846,
        center_of_mass=(0.15, 0.0, 0.0265),
        inertia=(0.00399632, 0.07879254, 0.07848510, -0.00001365, 0.00137272, -0.00000660),
        limit=pi,
        max_velocity=pi,
        max_torque=150.0,
        armature=0.6,
        damping=2.0,
        stiffness=2000.0,
        velocity_gain=120.0,
    ),
    Joint(
        name="wrist_1",
        link="wrist_1",
        dh=DhLink(d=0.1333, alpha=pi / 2),
        mass=1.37,
        center_of_mass=(0.0, -0.0018, 0.01634),
        inertia=(0.00165491, 0.00135962, 0.00126279, -0.00000282, -0.00000438, 0.00010157),
        limit=2 * pi,
        max_velocity=pi,
        max_torque=28.0,
        armature=0.1,
        damping=0.5,
        stiffness=300.0,
        velocity_gain=14.0,
    ),
    Joint(
        name="wrist_2",
        link="wrist_2",
        dh=DhLink(d=0.0997, alpha=-pi / 2),
        mass=1.3,
        center_of_mass=(0.0, 0.0018, 0.01634),
        inertia=(0.00135617, 0.00127827, 0.00096614, -0.00000274, 0.00000444, -0.00005048),
        limit=2 * pi,
        max_velocity=pi,
        max_torque=28.0,
        armature=0.1,
        damping=0.5,
        stiffness=300.0,
        velocity_gain=14.0,
    ),
    Joint(
        name="wrist_3",
        link="wrist_3",
        dh=DhLink(d=0.0996),
        mass=0.365,
        center_of_mass=(0.0, 0.0, -0.001159),
        inertia=(0.00018694, 0.00018908, 0.00025756, 0.00000006, -0.00000017, -0.00000092),
        limit=2 * pi,
        max_velocity=pi,
        max_torque=28.0,
        armature=0.1,
        damping=0.5,
        stiffness=300.0,
        velocity_gain=14.0,
    ),
)

CHAIN = tuple(joint.dh for joint in JOINTS)

# The base does not move, so its mass [kg] matters only where the whole arm is carried [URDF].
BASE_MASS = 4.0

# Elbow up, tool pointing straight down, tcp at (0.45, 0, 0.40) m to 0.1 mm [rad].
HOME = (2.8409, -1.6955, 1.9129, -1.7882, -1.5708, -0.3007)

# Half ranges about home in which the tool stays in front of the arm [rad].
AROUND_HOME = (1.2, 0.5, 0.7, 0.7, 0.7, 1.5)
