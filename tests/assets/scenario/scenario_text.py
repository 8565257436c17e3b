"""Small scenario, catalogue and distribution files for tests."""

from pathlib import Path

HEADER = (
    '<FileHeader revMajor="1" revMinor="{minor}" date="2026-01-01T00:00:00" description="" '
    'author=""/>'
)
CAR = """<Vehicle name="{name}" vehicleCategory="car"><ParameterDeclarations>{parameters}
</ParameterDeclarations><BoundingBox><Center x="1.4" y="0" z="0.8"/>
<Dimensions width="{width}" length="4.5" height="1.5"/></BoundingBox>
<Performance maxSpeed="60" maxAcceleration="5" maxDeceleration="9"/>
<Axles>
<FrontAxle maxSteering="0.5" wheelDiameter="0.6" trackWidth="1.6" positionX="3" positionZ="0.3"/>
<RearAxle maxSteering="0" wheelDiameter="0.6" trackWidth="1.6" positionX="0" positionZ="0.3"/>
</Axles>
<Properties/></Vehicle>"""


def car(name: str = "car", width: str = "1.8", parameters: str = "") -> str:
    return CAR.format(name=name, width=width, parameters=parameters)


def parameter(name: str, value: str, kind: str = "double", groups: str = "") -> str:
    return (
        f'<ParameterDeclaration name="{name}" parameterType="{kind}" value="{value}">{groups}'
        "</ParameterDeclaration>"
    )


def group(*constraints: tuple[str, str]) -> str:
    inner = "".join(f'<ValueConstraint rule="{r}" value="{v}"/>' for r, v in constraints)
    return f"<ConstraintGroup>{inner}</ConstraintGroup>"


def scenario(
    parameters: str = "", *, ego: str = "", speed: str = "10", action: str = "", catalog: str = "",
    road: str = "", minor: int = 2, variables: str = "",
) -> str:  # fmt: skip
    action = action or (
        "<PrivateAction><LongitudinalAction><SpeedAction><SpeedActionDynamics "
        'dynamicsShape="linear" dynamicsDimension="time" value="2"/><SpeedActionTarget>'
        f'<AbsoluteTargetSpeed value="{speed}"/></SpeedActionTarget></SpeedAction>'
        "</LongitudinalAction></PrivateAction>"
    )
    where = f'<VehicleCatalog><Directory path="{catalog}"/></VehicleCatalog>' if catalog else ""
    return f"""<OpenSCENARIO>{HEADER.format(minor=minor)}
<ParameterDeclarations>{parameters}</ParameterDeclarations>{variables}
<CatalogLocations>{where}</CatalogLocations>
<RoadNetwork>{road}</RoadNetwork>
<Entities><ScenarioObject name="Ego">{ego or car()}</ScenarioObject></Entities>
<Storyboard><Init><Actions/></Init><Story name="story"><Act name="act">
<ManeuverGroup name="group" maximumExecutionCount="1"><Actors selectTriggeringEntities="false">
<EntityRef entityRef="Ego"/></Actors><Maneuver name="maneuver">
<Event name="event" priority="overwrite"><Action name="action">{action}</Action>
<StartTrigger><ConditionGroup><Condition name="now" delay="0" conditionEdge="none">
<ByValueCondition><SimulationTimeCondition value="1" rule="greaterThan"/></ByValueCondition>
</Condition></ConditionGroup></StartTrigger></Event></Maneuver></ManeuverGroup>
<StartTrigger/></Act></Story><StopTrigger/></Storyboard></OpenSCENARIO>"""


def catalog(*entries: str, name: str = "cars") -> str:
    return (
        f'<OpenSCENARIO>{HEADER.format(minor=2)}<Catalog name="{name}">{"".join(entries)}'
        "</Catalog></OpenSCENARIO>"
    )


def distribution(inner: str, target: str = "scenario.xosc") -> str:
    return (
        f"<OpenSCENARIO>{HEADER.format(minor=2)}<ParameterValueDistribution>"
        f'<ScenarioFile filepath="{target}"/>{inner}</ParameterValueDistribution></OpenSCENARIO>'
    )


def span(name: str, low: str, high: str, step: str) -> str:
    return (
        f'<DeterministicSingleParameterDistribution parameterName="{name}"><DistributionRange '
        f'stepWidth="{step}"><Range lowerLimit="{low}" upperLimit="{high}"/></DistributionRange>'
        "</DeterministicSingleParameterDistribution>"
    )


def values(name: str, *texts: str) -> str:
    inner = "".join(f'<Element value="{text}"/>' for text in texts)
    return (
        f'<DeterministicSingleParameterDistribution parameterName="{name}"><DistributionSet>'
        f"{inner}</DistributionSet></DeterministicSingleParameterDistribution>"
    )


def sets(*rows: dict[str, str]) -> str:
    inner = "".join(
        "<ParameterValueSet>"
        + "".join(f'<ParameterAssignment parameterRef="{n}" value="{v}"/>' for n, v in row.items())
        + "</ParameterValueSet>"
        for row in rows
    )
    return (
        f"<DeterministicMultiParameterDistribution><ValueSetDistribution>{inner}"
        "</ValueSetDistribution></DeterministicMultiParameterDistribution>"
    )


def write(folder: Path, text: str, name: str = "scenario.xosc") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path
