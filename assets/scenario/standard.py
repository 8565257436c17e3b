"""Types of OpenSCENARIO XML and the version that brought each: what coverage is counted of.

"1.2+" are those that version 1.3 has and version 1.1 has not.
"""

from __future__ import annotations

from collections.abc import Mapping

_BY_VERSION = {
    "1.0": """
        AbsoluteSpeed AbsoluteTargetLane AbsoluteTargetLaneOffset AbsoluteTargetSpeed
        AccelerationCondition AcquirePositionAction Act Action ActivateControllerAction Actors
        AddEntityAction AssignControllerAction AssignRouteAction Axle Axles BoundingBox
        ByEntityCondition ByObjectType ByType ByValueCondition Catalog CatalogLocations
        CatalogReference Center CentralSwarmObject Clothoid CollisionCondition Condition
        ConditionGroup ControlPoint Controller ControllerAction ControllerCatalogLocation
        ControllerDistribution ControllerDistributionEntry CustomCommandAction DeleteEntityAction
        Dimensions Directory DistanceCondition DynamicConstraints EndOfRoadCondition Entities
        EntityAction EntityCondition EntityRef EntitySelection Environment EnvironmentAction
        EnvironmentCatalogLocation Event File FileHeader FinalSpeed Fog FollowTrajectoryAction
        GlobalAction InRoutePosition InfrastructureAction Init InitActions Knot LaneChangeAction
        LaneChangeTarget LaneOffsetAction LaneOffsetActionDynamics LaneOffsetTarget LanePosition
        LateralAction LateralDistanceAction LongitudinalAction LongitudinalDistanceAction Maneuver
        ManeuverCatalogLocation ManeuverGroup MiscObject MiscObjectCatalogLocation ModifyRule None
        Nurbs ObjectController OffroadCondition OpenScenario Orientation OverrideBrakeAction
        OverrideClutchAction OverrideControllerValueAction OverrideGearAction
        OverrideParkingBrakeAction OverrideSteeringWheelAction OverrideThrottleAction
        ParameterAction ParameterAddValueRule ParameterAssignment ParameterAssignments
        ParameterCondition ParameterDeclaration ParameterDeclarations ParameterModifyAction
        ParameterMultiplyByValueRule ParameterSetAction Pedestrian PedestrianCatalogLocation
        Performance Phase Polyline Position PositionInLaneCoordinates PositionInRoadCoordinates
        PositionOfCurrentEntity Precipitation Private PrivateAction Properties Property
        ReachPositionCondition RelativeDistanceCondition RelativeLanePosition RelativeObjectPosition
        RelativeRoadPosition RelativeSpeedCondition RelativeSpeedToMaster RelativeTargetLane
        RelativeTargetLaneOffset RelativeTargetSpeed RelativeWorldPosition RoadCondition RoadNetwork
        RoadPosition Route RouteCatalogLocation RoutePosition RouteRef RoutingAction ScenarioObject
        SelectedEntities Shape SimulationTimeCondition SpeedAction SpeedActionTarget SpeedCondition
        StandStillCondition Story Storyboard StoryboardElementStateCondition Sun SynchronizeAction
        TeleportAction TimeHeadwayCondition TimeOfDay TimeOfDayCondition TimeReference
        TimeToCollisionCondition TimeToCollisionConditionTarget Timing TrafficAction
        TrafficDefinition TrafficSignalAction TrafficSignalCondition TrafficSignalController
        TrafficSignalControllerAction TrafficSignalControllerCondition TrafficSignalState
        TrafficSignalStateAction TrafficSignals TrafficSinkAction TrafficSourceAction
        TrafficSwarmAction Trajectory TrajectoryCatalogLocation TrajectoryFollowingMode
        TransitionDynamics TraveledDistanceCondition Trigger TriggeringEntities UserDefinedAction
        UserDefinedValueCondition Vehicle VehicleCatalogLocation VehicleCategoryDistribution
        VehicleCategoryDistributionEntry Vertex VisibilityAction Waypoint Weather WorldPosition
    """,
    "1.1": """
        Deterministic DeterministicMultiParameterDistribution
        DeterministicSingleParameterDistribution DistributionRange DistributionSet
        DistributionSetElement ExternalObjectReference GeoPosition Histogram HistogramBin License
        NormalDistribution ParameterValueDistribution ParameterValueSet PoissonDistribution
        ProbabilityDistributionSet ProbabilityDistributionSetElement Range Stochastic
        StochasticDistribution TargetDistanceSteadyState TargetTimeSteadyState TrafficStopAction
        TrajectoryPosition TrajectoryRef UniformDistribution UsedArea UserDefinedDistribution
        ValueConstraint ValueConstraintGroup ValueSetDistribution Wind
    """,
    "1.2+": """
        AngleCondition AnimationAction AnimationFile AnimationState AnimationType AppearanceAction
        AutomaticGear Brake ClothoidSpline ClothoidSplineSegment Color ColorCmyk ColorRgb
        ComponentAnimation ConnectTrailerAction CustomContent DirectionOfTravelDistribution
        DisconnectTrailerAction DomeImage EntityDistribution EntityDistributionEntry Lane LightState
        LightStateAction LightType LogNormalDistribution ManualGear MonitorDeclaration
        MonitorDeclarations PedestrianAnimation PedestrianGesture Polygon RandomRouteAction
        RelativeAngleCondition RelativeClearanceCondition RelativeLaneRange RoadCursor RoadRange
        ScenarioObjectTemplate SensorReference SensorReferenceSet SetMonitorAction
        SpeedProfileAction SpeedProfileEntry TrafficArea TrafficAreaAction TrafficDistribution
        TrafficDistributionEntry TrafficSignalGroupState Trailer TrailerAction TrailerCoupler
        TrailerHitch UserDefinedAnimation UserDefinedComponent UserDefinedLight VariableAction
        VariableAddValueRule VariableCondition VariableDeclaration VariableDeclarations
        VariableModifyAction VariableModifyRule VariableMultiplyByValueRule VariableSetAction
        VehicleComponent VehicleLight VehicleRoleDistribution VehicleRoleDistributionEntry
    """,
}
SINCE: Mapping[str, str] = {
    name: version for version, names in _BY_VERSION.items() for name in names.split()
}
