"""Articulated worlds of a factory: MuJoCo models, stepped by MuJoCo Warp."""

from proveout.envs.factory.arm import Arm, joint_load, reachable_pose, tcp_position, tcp_to
from proveout.envs.factory.arm_task import ArmTask
from proveout.envs.factory.engine import Capacities
from proveout.envs.factory.places import (
    Actuator,
    Body,
    FreeBody,
    Geom,
    Joint,
    Mocap,
    Sensor,
    Site,
    body_pose,
    free_pose,
    free_spin,
    free_velocity,
    half_size,
    set_free_pose,
    set_mocap_position,
    site_pose,
)
from proveout.envs.factory.scenery import add_pose_marker, add_studio, with_marker
from proveout.envs.factory.task import ArticulatedTask

__all__ = [
    "Actuator",
    "Arm",
    "ArmTask",
    "ArticulatedTask",
    "Body",
    "Capacities",
    "FreeBody",
    "Geom",
    "Joint",
    "Mocap",
    "Sensor",
    "Site",
    "add_pose_marker",
    "add_studio",
    "body_pose",
    "free_pose",
    "free_spin",
    "free_velocity",
    "half_size",
    "joint_load",
    "reachable_pose",
    "set_free_pose",
    "set_mocap_position",
    "site_pose",
    "tcp_position",
    "tcp_to",
    "with_marker",
]
