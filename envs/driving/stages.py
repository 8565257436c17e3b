"""The stages of a physics step of road worlds, in order: what the engine runs, and what is added.

    storyboard   what a script says; nothing, unless something is added
    decide       leaders of drivers that ask for one, then the inputs of every vehicle
    move         every vehicle by its inputs
    locate       lane, arc length and what is derived from them; leaving the road
    collide      bodies that overlap
    measure      metrics of every physics step; nothing, unless something is added

All agents decide before any moves, so the result does not depend on the order of the threads.
"""

from collections.abc import Callable, Iterator

from proveout.envs.core.errors import unknown

STAGES = ("storyboard", "decide", "move", "locate", "collide", "measure")
"""Their names, in the order in which they run."""

Launch = Callable[[bool], None]
"""Only launches. Told whether it is the first physics step of a control step: nothing has moved
since `refresh` or `after_physics`."""


class Stages:
    """Launches by stage. What is added runs behind what its stage has already; add before the
    control step is recorded, so in `RoadTask.make_engine`."""

    def __init__(self) -> None:
        self._launches: dict[str, list[Launch]] = {name: [] for name in STAGES}

    def add(self, stage: str, launch: Launch) -> None:
        """Append a launch to a stage; `UnknownNameError` for one that is not in `STAGES`."""
        if stage not in self._launches:
            raise unknown("stage of a physics step", stage, STAGES)
        self._launches[stage].append(launch)

    def __iter__(self) -> Iterator[tuple[str, Launch]]:
        """Stage and launch, in the order in which they run."""
        for name, launches in self._launches.items():
            for launch in launches:
                yield name, launch

    def run(self, first: bool) -> None:
        """All of them, once."""
        for _name, launch in self:
            launch(first)
