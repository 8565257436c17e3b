"""Studies: a policy over a space of parameters, one world a row, kept so that each can be trusted.

from proveout.training.sweep import Study, run_study, read_results
"""

from proveout.training.sweep.execute import run_study
from proveout.training.sweep.replay import replay
from proveout.training.sweep.results import read_results, read_series
from proveout.training.sweep.space import Parameter
from proveout.training.sweep.study import Study

__all__ = ["Parameter", "Study", "read_results", "read_series", "replay", "run_study"]
