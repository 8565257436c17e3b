"""Prove that a vector environment keeps Gymnasium's vector contract."""

from proveout.envs.check.report import CHECKS, CheckError, CheckReport, Finding
from proveout.envs.check.run import check_vector_env

__all__ = ["CHECKS", "CheckError", "CheckReport", "Finding", "check_vector_env"]
