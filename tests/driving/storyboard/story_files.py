"""Small scenarios on a straight road of three lanes, as files, and the batches that run them."""

import math
from collections.abc import Sequence
from pathlib import Path

from proveout.assets.opendrive.road_map import load_road
from proveout.assets.scenario.rows import load_rows
from proveout.envs.driving.storyboard.batch import Batch

LENGTH = 3000.0
HEAD = (
    '<OpenSCENARIO><FileHeader revMajor="1" revMinor="3" date="2026-01-01T00:00:00" '
    'description="" author=""/>'
)


def write_road(folder: Path, radius: float | None = None) -> Path:
    """Lanes 1 (against s), -1, -2 and -3 of 3.5 m, straight or in a bend to the left."""
    line = "<line/>" if radius is None else f'<arc curvature="{1.0 / radius}"/>'
    lane = '<lane id="{}" type="driving"><width sOffset="0" a="3.5" b="0" c="0" d="0"/></lane>'
    right = "".join(lane.format(-k) for k in (1, 2, 3))
    path = folder / "road.xodr"
    path.write_text(
        '<OpenDRIVE><header revMajor="1" revMinor="6"/>'
        f'<road id="1" length="{LENGTH}" junction="-1" rule="RHT"><link/><planView><geometry s="0" '
        f'x="0" y="0" hdg="0" length="{LENGTH}">{line}</geometry></planView><lanes><laneSection '
        f's="0"><left>{lane.format(1)}</left><center><lane id="0" type="none"/></center><right>'
        f"{right}</right></laneSection></lanes></road></OpenDRIVE>"
    )
    return path


def car(name: str) -> str:
    return (
        f'<ScenarioObject name="{name}"><Vehicle name="{name}" vehicleCategory="car"><BoundingBox>'
        '<Center x="1.5" y="0" z="0.7"/><Dimensions width="2" length="4" height="1.4"/>'
        '</BoundingBox><Performance maxSpeed="70" maxAcceleration="9" maxDeceleration="9"/><Axles>'
        '<FrontAxle maxSteering="0.5" wheelDiameter="0.6" trackWidth="1.6" positionX="2.7" '
        'positionZ="0.3"/><RearAxle maxSteering="0" wheelDiameter="0.6" trackWidth="1.6" '
        'positionX="0" positionZ="0.3"/></Axles><Properties/></Vehicle></ScenarioObject>'
    )


def on_lane(s: str, lane: str = "-2", offset: str = "0") -> str:
    return f'<LanePosition roadId="1" laneId="{lane}" s="{s}" offset="{offset}"/>'


def starts(name: str, position: str, speed: str, more: str = "") -> str:
    return (
        f'<Private entityRef="{name}"><PrivateAction><TeleportAction><Position>{position}'
        "</Position></TeleportAction></PrivateAction><PrivateAction><LongitudinalAction>"
        f"{speed_action(speed, 'step', 'time', '0')}</LongitudinalAction></PrivateAction>{more}"
        "</Private>"
    )


def speed_action(target: str, shape: str, dimension: str, value: str) -> str:
    absolute = target if target.startswith("<") else f'<AbsoluteTargetSpeed value="{target}"/>'
    return (
        f'<SpeedAction><SpeedActionDynamics dynamicsShape="{shape}" dynamicsDimension='
        f'"{dimension}" value="{value}"/><SpeedActionTarget>{absolute}</SpeedActionTarget>'
        "</SpeedAction>"
    )


def longitudinal(inner: str) -> str:
    return f"<PrivateAction><LongitudinalAction>{inner}</LongitudinalAction></PrivateAction>"


def lane_change(target: str, shape: str, dimension: str, value: str) -> str:
    return (
        f"<PrivateAction><LateralAction><LaneChangeAction><LaneChangeActionDynamics dynamicsShape="
        f'"{shape}" dynamicsDimension="{dimension}" value="{value}"/><LaneChangeTarget>{target}'
        "</LaneChangeTarget></LaneChangeAction></LateralAction></PrivateAction>"
    )


def lane_offset(target: str, shape: str, acceleration: str) -> str:
    return (
        '<PrivateAction><LateralAction><LaneOffsetAction continuous="false">'
        f'<LaneOffsetActionDynamics dynamicsShape="{shape}" maxLateralAcc="{acceleration}"/>'
        f'<LaneOffsetTarget><AbsoluteTargetLaneOffset value="{target}"/></LaneOffsetTarget>'
        "</LaneOffsetAction></LateralAction></PrivateAction>"
    )


def by_entity(inner: str, *who: str, edge: str = "none", rule: str = "any") -> str:
    refs = "".join(f'<EntityRef entityRef="{one}"/>' for one in who)
    return (
        f'<Condition name="c" delay="0" conditionEdge="{edge}"><ByEntityCondition>'
        f'<TriggeringEntities triggeringEntitiesRule="{rule}">{refs}</TriggeringEntities>'
        f"<EntityCondition>{inner}</EntityCondition></ByEntityCondition></Condition>"
    )


def by_value(inner: str, edge: str = "none", delay: str = "0") -> str:
    return (
        f'<Condition name="c" delay="{delay}" conditionEdge="{edge}"><ByValueCondition>{inner}'
        "</ByValueCondition></Condition>"
    )


def at_time(value: str) -> str:
    return by_value(f'<SimulationTimeCondition value="{value}" rule="greaterOrEqual"/>')


def trigger(*groups: str, tag: str = "StartTrigger") -> str:
    inner = "".join(f"<ConditionGroup>{one}</ConditionGroup>" for one in groups)
    return f"<{tag}>{inner}</{tag}>"


def event(name: str, start: str, *actions: str, priority: str = "parallel", times: int = 1) -> str:
    inner = "".join(f'<Action name="{name}{i}">{one}</Action>' for i, one in enumerate(actions))
    return (
        f'<Event name="{name}" priority="{priority}" maximumExecutionCount="{times}">{inner}'
        f"{start}</Event>"
    )


def act(who: str, *maneuvers: str, times: int = 1, start: str = "", stop: str = "") -> str:
    inner = "".join(f'<Maneuver name="m">{one}</Maneuver>' for one in maneuvers)
    return (
        f'<Act name="act{who}"><ManeuverGroup name="g{who}" maximumExecutionCount="{times}">'
        f'<Actors selectTriggeringEntities="false"><EntityRef entityRef="{who}"/></Actors>{inner}'
        f"</ManeuverGroup>{start}{stop}</Act>"
    )


def write_story(
    folder: Path, names: Sequence[str], init: str, acts: str, *, stop: str = "",
    parameters: str = "", variables: str = "", name: str = "story.xosc",
) -> Path:  # fmt: skip
    path = folder / name
    path.write_text(
        f"{HEAD}<ParameterDeclarations>{parameters}</ParameterDeclarations><VariableDeclarations>"
        f"{variables}</VariableDeclarations><CatalogLocations/><RoadNetwork><LogicFile "
        f'filepath="road.xodr"/></RoadNetwork><Entities>{"".join(map(car, names))}</Entities>'
        f"<Storyboard><Init><Actions>{init}</Actions></Init>"
        f'<Story name="story">{acts or act(names[0])}</Story>{stop}</Storyboard></OpenSCENARIO>'
    )
    return path


def write_rows(folder: Path, name: str, first: float, step: float, last: float) -> Path:
    """Rows of story.xosc that differ in one parameter."""
    path = folder / "rows.xosc"
    path.write_text(
        f'{HEAD}<ParameterValueDistribution><ScenarioFile filepath="story.xosc"/><Deterministic>'
        f'<DeterministicSingleParameterDistribution parameterName="{name}"><DistributionRange '
        f'stepWidth="{step}"><Range lowerLimit="{first}" upperLimit="{last}"/></DistributionRange>'
        "</DeterministicSingleParameterDistribution></Deterministic></ParameterValueDistribution>"
        "</OpenSCENARIO>"
    )
    return path


def batch_of(path: Path, dt: float = 0.02) -> Batch:
    """All rows of a file, which share a structure."""
    rows = load_rows(path)
    frame = rows.frame(0, rows.size)
    structure = rows.scenario.structure(rows.row(0))
    return Batch(structure, frame, load_road(path.parent / "road.xodr", surface=False), dt=dt)


def steps(seconds: float, dt: float = 0.02) -> int:
    return math.ceil(seconds / dt - 1e-9)
