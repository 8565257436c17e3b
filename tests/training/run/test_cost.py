"""What work has cost: time, and energy where the machine tells it, from counters that wrap."""

import sys
import time
import types

import pytest

from proveout.training.run import cost
from proveout.training.run.cost import NOT_AVAILABLE, CostMeter, cost_line, total_cost


def zone(folder, number, energy, most=1_000_000):
    place = folder / f"intel-rapl:{number}"
    place.mkdir(parents=True, exist_ok=True)
    (place / "energy_uj").write_text(f"{energy}\n")
    (place / "max_energy_range_uj").write_text(f"{most}\n")


def test_time_is_that_of_the_clock_and_of_the_cores(tmp_path):
    with CostMeter(powercap=tmp_path) as meter:
        began = time.process_time()
        while time.process_time() - began < 0.2:
            pass
        time.sleep(0.1)
    told = meter.told(1000)
    assert told["steps"] == 1000
    assert told["wall_seconds"] >= 0.3
    assert 0.2 <= told["processor_seconds"] <= told["wall_seconds"] + 0.5
    assert told["processor_joules"] == NOT_AVAILABLE
    assert (told["gpu_seconds"], told["gpu_joules"]) == (0.0, 0.0)


def test_energy_is_the_sum_of_counters_that_begin_again(tmp_path, monkeypatch):
    monkeypatch.setattr(cost, "_SAMPLE_SECONDS", 0.02)
    zone(tmp_path, 0, 900_000)
    zone(tmp_path, 1, 100)
    (tmp_path / "intel-rapl:0:0").mkdir()  # a part of the first, counted with it
    (tmp_path / "intel-rapl:0:0" / "energy_uj").write_text("5")
    with CostMeter(powercap=tmp_path) as meter:
        zone(tmp_path, 0, 400_000)  # once around
        time.sleep(0.2)
        zone(tmp_path, 0, 300_000)  # and again, which only samples between can tell
        zone(tmp_path, 1, 2_100)
    assert meter.told(1)["processor_joules"] == pytest.approx(0.5 + 0.9 + 0.002)


def test_a_gpu_tells_its_own(tmp_path, monkeypatch):
    energy = iter([5_000, 12_500])
    nvml = types.SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: uuid,
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: next(energy),
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    with CostMeter("cuda:0", powercap=tmp_path) as meter:
        pass
    assert meter.told(1)["gpu_joules"] == pytest.approx(7.5)
    assert meter.told(1)["gpu_seconds"] == meter.told(1)["wall_seconds"]
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with CostMeter("cuda:0", powercap=tmp_path) as meter:
        pass
    assert meter.told(1)["gpu_joules"] == NOT_AVAILABLE


def test_costs_add_up_and_are_told_per_million_steps():
    part = {
        "steps": 500_000, "wall_seconds": 10.0, "processor_seconds": 20.0, "gpu_seconds": 0.0,
        "processor_joules": 300.0, "gpu_joules": 0.0,
    }  # fmt: skip
    told = total_cost([part, part])
    assert told["steps"] == 1_000_000
    assert told["per_million_steps"]["processor_joules"] == 600.0
    assert cost_line(told) == "A million steps: 20 s, 40 s of cores, 600 J"
    unknown = total_cost([part, {**part, "processor_joules": NOT_AVAILABLE}])
    assert unknown["processor_joules"] == NOT_AVAILABLE
    assert unknown["per_million_steps"]["processor_joules"] == NOT_AVAILABLE
    assert cost_line(unknown).endswith("energy not available")
    assert total_cost([])["per_million_steps"] is None
    assert cost_line(total_cost([])) == ""
