"""An edited manifest is told in one sentence that names the file, whatever is in it."""

from __future__ import annotations

import contextlib
import copy
import json
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fake_env
import pytest
from fake_env import ID
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from proveout.envs.core.errors import ProveoutError, RunError
from proveout.training.cli.program import main
from proveout.training.evaluation.evaluate import evaluate
from proveout.training.evaluation.policy_source import PolicySource
from proveout.training.export import export
from proveout.training.learn.settings import ResumeConfig, TrainConfig
from proveout.training.learn.train import TrainingInterrupted, resume, train
from proveout.training.run.directory import Run
from proveout.training.run.json_files import read_json, write_json
from proveout.training.sb3.callbacks.loop import StopSignals
from proveout.training.tasks import VectorEnvSpec, run_config

SMALL = ("n_steps=16", "batch_size=64", "n_epochs=1", "policy_kwargs.net_arch=[8]")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    fake_env.install()
    told = TrainConfig(
        total_timesteps=64,
        num_envs=4,
        hyperparameters=SMALL,
        evaluation_episodes=4,
        video=False,
        runs=tmp_path_factory.mktemp("runs"),
    )
    return train(ID, None, told).folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained, tmp_path / "run")


def use(folder: Path, way: str) -> None:
    """Use a run as the command line does."""
    if way == "resume":
        with contextlib.suppress(TrainingInterrupted):
            resume(folder, ResumeConfig(total_timesteps=128))
        return
    run = Run.open(folder)
    if way == "export":
        export(run, folder / "p.safetensors")
    elif way == "evaluate":
        spec = VectorEnvSpec(run.env_id, run_config(run), device="cpu", workers=1)
        evaluate(PolicySource(str(folder)), spec, episodes=2)


@contextlib.contextmanager
def stopped_at_once() -> Iterator[None]:
    """Trainings begin, and stop before their first roll-out."""
    patched = pytest.MonkeyPatch()
    entered = StopSignals.__enter__

    def enter(self: StopSignals) -> StopSignals:
        self.received = 15
        return entered(self)

    patched.setattr(StopSignals, "__enter__", enter)
    try:
        yield
    finally:
        patched.undo()


DEEP: Any = 0
for _ in range(200):
    DEEP = [DEEP]

# Path of an entry, its value, and what the message names; ... for an entry that is taken out.
EDITS: list[tuple[str, Any, str]] = [
    ("policies.*.num_timesteps", "x", "num_timesteps' must be a whole number"),
    ("policies.*.training_seconds", float("nan"), "training_seconds' must be a number"),
    ("policies.*.preset", ..., "must hold num_timesteps"),
    ("policies.*", 5, "must hold num_timesteps"),
    ("policies", [], "'policies' must be a JSON object"),
    ("num_timesteps", "x", "'num_timesteps' must be a whole number"),
    ("resumed", 5, "'resumed' must be a list"),
    ("resumed", [5], "'resumed' must be a list"),
    ("config", [], "'config' must be a JSON object"),
    ("config.tolerance", [], "manifest.json: 'config' cannot be used"),
    ("config.tolerence", 1.0, "did you mean 'tolerance'"),
    ("config.control_dt", 10**400, "manifest.json: 'config' cannot be used"),
    ("preset", None, "'preset' must be a JSON object"),
    ("algo", ..., "has no 'algo'"),
    ("algo", 5, "'algo' must be text"),
    ("algo", "pppo", "unknown algorithm"),
    ("state", "done", "'state' must be one of"),
    ("state", ..., "has no 'state'"),
    ("seed", -1, "'seed' must be a whole number"),
    ("seed", 2**40, "'seed' must be a whole number"),
    ("seed", True, "'seed' must be a whole number"),
    ("sead", 1, "did you mean 'seed'"),
    ("env_id", "x" * 20_000, "'env_id' must be text"),
    ("env_id", "fake/Piont-v0", "unknown environment"),
    ("argv", DEEP, "nested deeper"),
    ("preset.num_envs", 10**12, "'preset' cannot be used: .*num_envs"),
    ("preset.num_envs", 10**400, "'preset' cannot be used: .*num_envs"),
    ("preset.num_envs", float("inf"), "'preset' cannot be used: .*num_envs"),
    ("preset.total_timesteps", float("nan"), "'preset' cannot be used: .*total_timesteps"),
    ("preset.total_timesteps", "many", "'preset' cannot be used: .*total_timesteps"),
    ("preset.adaptive_kl", "x", "'preset' cannot be used: .*adaptive_kl"),
    ("preset.adaptive_kl", [0.1, "x"], "'preset' cannot be used: .*adaptive_kl"),
    ("preset.adaptive_kl", float("nan"), "'preset' cannot be used: .*adaptive_kl"),
    ("preset.gamma", 10**400, "'preset' cannot be used: .*gamma"),
    ("preset.stats_window_size", "x", "'preset' cannot be used: .*stats_window_size"),
    ("preset.stats_window_size", 1e40, "'preset' cannot be used: .*stats_window_size"),
    ("preset.rollout_buffer_class", "os.system", "'preset' cannot be used: .*rollout_buffer_class"),
    ("preset.policy", [], "'preset' cannot be used: .*policy"),
    ("preset.network", [], "'preset' cannot be used: .*unknown network"),
    ("preset.policy_kwargs", 5, "'preset' cannot be used: .*policy_kwargs must be a"),
    (
        "preset.policy_kwargs.features_extractor_class",
        "os.system",
        "'preset' cannot be used: .*features_extractor_class",
    ),
    (
        "preset.policy_kwargs.optimizer_class",
        "torch.optim.Adam",
        "'preset' cannot be used: .*optimizer_class",
    ),
    ("preset.policy_kwargs.optimizer_kwargs", 5, "'preset' cannot be used: .*optimizer_kwargs"),
    ("preset.policy_kwargs.net_arch", [10**9], "'preset' cannot be used: .*net_arch"),
    ("preset.policy_kwargs.net_arch", [16384] * 3, "'preset' cannot be used: .*net_arch"),
    ("preset.policy_kwargs.net_arch", [8] * 100, "'preset' cannot be used: .*net_arch"),
    (
        "preset.policy_kwargs.net_arch",
        {"pi": [10**12], "vf": []},
        "'preset' cannot be used: .*net_arch",
    ),
    ("preset.policy_kwargs.log_std_init", 1e30, "'preset' cannot be used: .*log_std_init"),
    ("preset.policy_kwargs.log_std_init", "x", "'preset' cannot be used: .*log_std_init"),
    ("preset.policy_kwargs.activation_fn", [], "'preset' cannot be used: .*activation"),
    ("preset.policy_kwargs.nonsense", 1, "cannot be built with this preset"),
    ("preset.policy_kwargs.ortho_init", 10**400, "'preset' cannot be used: .*ortho_init"),
]
SETTINGS: list[tuple[str, Any, str]] = [
    ("train", [], "'train' must be a JSON object"),
    ("train.seed", "x", "'train.seed' must be a whole number"),
    ("train.torch_threads", 99_999_999, "'train.torch_threads' must be a whole number"),
    ("train.warm_start", "exprt", "'train.warm_start' must be expert, or null"),
    ("train.warm_start_rounds", -1, "'train.warm_start_rounds' must be a whole number"),
    ("train.checkpoint_interval", "x", "'train.checkpoint_interval' must be a number"),
    ("train.checkpoint_interval", 0.0, "'train' is damaged .*checkpoint_interval"),
    ("train.hyperparameters", 5, "'train.hyperparameters' must be a list"),
    ("train.hyperparameters", ..., "'train' is damaged .*hyperparameters"),
    ("train.runs", None, "'train.runs' must be text"),
    ("train.wokers", 1, "'train' is damaged .*wokers"),
    ("train.workers", 10**12, "'train.workers' must be a whole number"),
]


def edited(manifest: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return a copy with one entry changed."""
    changed = copy.deepcopy(manifest)
    *parents, last = path.split(".")
    place: Any = changed
    for key in parents:
        place = next(iter(place.values())) if key == "*" else place[key]
    if last == "*":
        last = next(iter(place))
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return changed


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [*EDITS, *SETTINGS],
    ids=lambda part: str(part)[:40] if isinstance(part, str) else "",
)
def test_an_edited_manifest_is_one_sentence(
    folder: Path, path: str, value: Any, message: str
) -> None:
    manifest = read_json(folder / "manifest.json")
    (folder / "manifest.json").write_text(json.dumps(edited(manifest, path, value)))
    ways = ("resume",) if path.startswith("train") else ("resume", "export", "evaluate")
    for way in ways:
        with pytest.raises(ProveoutError, match=message) as error:
            use(folder, way)
        told = str(error.value)
        assert "\n" not in told
        assert len(told) < 1000
        if path.startswith(("config", "train", "policies", "seed", "state")):
            assert isinstance(error.value, RunError)
            assert str(folder / "manifest.json") in told


def test_the_command_line_tells_it_too(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    manifest = read_json(folder / "manifest.json")
    write_json(folder / "manifest.json", edited(manifest, "config", []))
    capfd.readouterr()
    for arguments in (["evaluate"], ["play"], ["export"], ["train", "--resume"]):
        assert main([*arguments, str(folder)]) == 2
        told = capfd.readouterr().err.strip()
        assert told.startswith("proveout: error: ")
        assert told.count("\n") == 0


def test_a_manifest_that_is_no_file_is_refused(folder: Path) -> None:
    (folder / "manifest.json").write_text(f'{{"seed": {"9" * 5000}}}')
    with pytest.raises(RunError, match="not valid JSON"):
        Run.open(folder)
    (folder / "manifest.json").write_text('{"a": ' * 5000 + "1" + "}" * 5000)
    with pytest.raises(RunError, match=r"not valid JSON|nested deeper"):
        Run.open(folder)
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").mkdir()
    with pytest.raises(RunError, match=r"manifest\.json is not a regular file"):
        Run.open(folder)


def test_a_checkpoint_without_end_is_kept_between(folder: Path) -> None:
    """An infinite interval is null in JSON."""
    manifest = read_json(folder / "manifest.json")
    write_json(
        folder / "manifest.json", edited(manifest, "train.checkpoint_interval", float("inf"))
    )
    resume(folder, ResumeConfig(total_timesteps=128))
    assert Run.open(folder).manifest["train"]["checkpoint_interval"] is None


# What a manifest may be turned into. Small positive numbers are left out: they are valid, and make
# trainings and episodes of any length.
NUMBERS = [0, -1, 2**31, 2**63, 10**12, 10**400, 1e300, 0.5, float("nan"), float("inf")]
VALUES = st.one_of(
    st.sampled_from([None, True, False, "", "x", "os.system", "\ud800", "0", [], {}, [[]], DEEP]),
    st.sampled_from(NUMBERS),
    st.sampled_from(NUMBERS).map(lambda number: [number]),
    st.sampled_from(NUMBERS).map(lambda number: {"x": number}),
    st.text(max_size=8),
)


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of all entries."""
    inside = data.items() if isinstance(data, dict) else enumerate(data)
    found = []
    for key, value in inside:
        found.append((*path, key))
        if isinstance(value, dict | list) and len(path) < 6:
            found += places(value, (*path, key))
    return found


@settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_no_manifest_ends_in_another_error(
    trained: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("fuzz") / "run"
    shutil.copytree(trained, folder)
    manifest = read_json(folder / "manifest.json")
    manifest["state"] = "interrupted"
    del manifest["config"]["step_seconds"]  # it would wait as long as it says
    for _ in range(data.draw(st.sampled_from([1, 1, 1, 3]))):
        inside = data.draw(st.sampled_from(["", "config", "preset", "preset", "policies", "train"]))
        everywhere = places(manifest)
        paths = [path for path in everywhere if not inside or path[0] == inside]
        *parents, last = data.draw(st.sampled_from(paths or everywhere))
        place: Any = manifest
        for key in parents:
            place = place[key]
        edit = data.draw(st.sampled_from(["value", "value", "missing", "another"]))
        if edit == "missing":
            del place[last]
        elif edit == "another" and isinstance(place, dict):
            place[data.draw(st.text(max_size=8))] = copy.deepcopy(data.draw(VALUES))
        else:
            place[last] = copy.deepcopy(data.draw(VALUES))
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with warnings.catch_warnings(), stopped_at_once():
        warnings.simplefilter("ignore")
        for way in ("open", "evaluate", "export", "resume"):
            told = ""
            try:
                use(folder, way)
            except ProveoutError as error:
                told = str(error)
            assert "\n" not in told
