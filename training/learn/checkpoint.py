"""Checkpoints: all that a training needs to go on exactly, in one folder that appears whole.

`checkpoints/<samples>/` holds `policy.zip` (an ordinary Stable-Baselines3 file with the optimiser),
`env.npz` (the state of all worlds), `loop.npz` (last observations, random generators), `buffer.npz`
(the replay buffer, if any) and `state.json`. Nothing is unpickled to resume. Of a training by
several ranks, the worlds and observations of rank r > 0 are in `env-r.npz` and `loop-r.npz`.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import random
import re
import tempfile
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from proveout.assets.files.atomic import publish_folder
from proveout.envs.core.errors import RunError
from proveout.training.distributed.ranks import Ranks
from proveout.training.run.files import cannot_write, refuse_link
from proveout.training.run.json_files import dump_json, read_json
from proveout.training.run.networks import read_networks

KEPT = 2
_STATE = "state.json"
_POLICY = "policy.zip"
_ENV = "env.npz"
_LOOP = "loop.npz"
_BUFFER = "buffer.npz"
# Names of a checkpoint, of one that is not whole yet, and of one that is being removed.
_NAME = re.compile(r"\d{12,}")
_UNFINISHED = re.compile(r"\.new-[a-z0-9_]{8}|\.old-\d{12,}")
_CONTENT = re.compile(r"policy\.zip|state\.json|buffer\.npz|(env|loop)(-\d+)?\.npz")
_BUFFER_ARRAYS = (
    "observations",
    "next_observations",
    "actions",
    "rewards",
    "dones",
    "timeouts",
)


def save_checkpoint(
    parent: Path,
    model: Any,
    venv: Any,
    training_seconds: float,
    stop_requested: bool = False,
    ranks: Ranks | None = None,
) -> Path:
    """Write a checkpoint between two roll-outs; keep the newest `KEPT`.

    All ranks call this together; the first one writes. Nothing but what this function has made is
    ever removed.

    Args:
        parent: Folder of the run's checkpoints.
        model: Algorithm of Stable-Baselines3.
        venv: Its `SB3VecEnv`.
        training_seconds: Wall-clock time of training so far [s].
        stop_requested: Kept for the record: the training stopped here because it was told to.
        ranks: Those that train together; None: this process alone.

    Raises:
        RunError: the folder is a link, or the checkpoint cannot be written; then it is not there.
    """
    final = parent / f"{model.num_timesteps:012d}"
    states = (ranks or Ranks()).collect(_rank_state(model, venv))
    if states is None:
        return final
    refuse_link(parent)
    if final.is_dir() and _defect(final) is None:
        return final
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for path in parent.iterdir():
            if _UNFINISHED.fullmatch(path.name):
                _remove(path)
        temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=parent))
        try:
            _write(temporary, model, training_seconds, stop_requested, states)
            _retire(final)  # a damaged one
            publish_folder(temporary, final)
        except BaseException:
            _remove(temporary)
            raise
        for old in list_checkpoints(parent)[:-KEPT]:
            _retire(old)
    except OSError as error:
        raise cannot_write(final, error) from error
    return final


def _write(
    temporary: Path,
    model: Any,
    training_seconds: float,
    stop_requested: bool,
    states: list[Any],
) -> None:
    """Write all files of a checkpoint."""
    (temporary / _POLICY).write_bytes(zipped(model))
    for rank, (worlds, loop, _) in enumerate(states):
        if worlds is not None:
            np.savez(temporary / _of_rank(_ENV, rank), **worlds)
        np.savez(temporary / _of_rank(_LOOP, rank), **loop)
    buffer = getattr(model, "replay_buffer", None)
    if buffer is not None:
        parts: dict[str, Any] = _buffer_state(buffer)
        np.savez(temporary / _BUFFER, **parts)
    state = {
        "num_timesteps": model.num_timesteps,
        "n_updates": model._n_updates,
        "episode_num": model._episode_num,
        "learning_rate": float(model.lr_schedule(model._current_progress_remaining)),
        "training_seconds": training_seconds,
        "stop_requested": stop_requested,
        "ranks": len(states),
        "generators": [plain for _, _, plain in states],
        # Logged by the last update and not written yet; the adaptive learning rate reads it.
        "logged": {k: v for k, v in model.logger.name_to_value.items() if _is_number(v)},
        "buffer": None if buffer is None else {"pos": buffer.pos, "full": buffer.full},
    }
    # A truncated zip of zips can look whole: its members' own directories are taken for it.
    state["files"] = {file.name: _digest(file) for file in sorted(temporary.iterdir())}
    (temporary / _STATE).write_text(dump_json(state))
    temporary.chmod(0o755)


def zipped(model: Any) -> bytes:
    """Return an algorithm as the bytes of a zip of Stable-Baselines3.

    Written from memory, a file that cannot be written is an `OSError`; torch's own writer has
    several others for it.
    """
    buffer = io.BytesIO()
    model.save(buffer)
    return buffer.getvalue()


def list_checkpoints(parent: Path) -> list[Path]:
    """Return the checkpoints of a run, oldest first."""
    if not parent.is_dir():
        return []
    return sorted(
        path
        for path in parent.iterdir()
        if _NAME.fullmatch(path.name) and path.is_dir() and not path.is_symlink()
    )


def _is_ours(folder: Path) -> bool:
    """Return whether a folder holds nothing but files of a checkpoint."""
    return (
        folder.is_dir()
        and not folder.is_symlink()
        and all(
            _CONTENT.fullmatch(path.name) and path.is_file() and not path.is_symlink()
            for path in folder.iterdir()
        )
    )


def _retire(folder: Path) -> None:
    """Remove a checkpoint; a folder of that name that is none is left as it is."""
    if (folder / _STATE).is_file() and _is_ours(folder):
        # Renamed first: a kill while deleting must not leave half a checkpoint under its name.
        doomed = folder.with_name(f".old-{folder.name}")
        folder.rename(doomed)
        _remove(doomed)


def _remove(folder: Path) -> None:
    """Remove a checkpoint, whole or not; anything else is left as it is."""
    with contextlib.suppress(OSError):  # what cannot be removed is tried again next time
        if _is_ours(folder):
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()


def latest_checkpoint(parent: Path) -> Path | None:
    """Return the newest checkpoint that is whole, or None if there is none at all.

    Raises:
        RunError: there are checkpoints, but every one is damaged.
    """
    found = list_checkpoints(parent)
    reasons = []
    for folder in reversed(found):
        reason = _defect(folder)
        if reason is None:
            return folder
        reasons.append(reason)
        warnings.warn(f"skipping a damaged checkpoint: {reason}", stacklevel=2)
    if found:
        raise RunError(f"no checkpoint in {parent} can be used ({reasons[0]}); train again.")
    return None


def read_checkpoint_state(folder: Path) -> dict[str, Any]:
    """Return the `state.json` of a checkpoint.

    Raises:
        RunError: unreadable, or without the figures of a training.
    """
    state = read_json(folder / _STATE)
    seconds, logged = state.get("training_seconds"), state.get("logged")
    figures = isinstance(logged, dict) and all(_is_number(value) for value in logged.values())
    if not _is_number(seconds) or not figures:
        raise RunError(
            f"{folder / _STATE}: 'training_seconds' must be a number and 'logged' an object of "
            "numbers; remove this checkpoint, and the one before it is used."
        )
    return state


def load_checkpoint(
    folder: Path, model: Any, venv: Any, ranks: Ranks | None = None
) -> dict[str, Any]:
    """Put a checkpoint into a freshly built algorithm and environment; return its state.json.

    With another number of ranks than it was saved by, the worlds are left as they are.

    Raises:
        RunError: the checkpoint does not fit the algorithm or the environment.
    """
    ranks = ranks or Ranks()
    state = read_checkpoint_state(folder)
    load_parameters(folder / _POLICY, model)
    try:
        same = int(state["ranks"]) == ranks.size
        if same and hasattr(venv.env, "state_dict"):
            venv.load_state_dict(read_arrays(folder / _of_rank(_ENV, ranks.rank)))
        if same:
            loop = read_arrays(folder / _of_rank(_LOOP, ranks.rank))
            model._last_obs = _unnamed("last_obs", loop)
            model._last_episode_starts = loop.get("last_episode_starts")
        else:
            ranks.say(
                f"{state['ranks']} rank(s) saved this checkpoint and {ranks.size} go(es) on with "
                "it: the worlds start anew, parameters and optimiser go on."
            )
        model.num_timesteps = int(state["num_timesteps"])
        model._n_updates = int(state["n_updates"])
        model._episode_num = int(state["episode_num"])
        if not callable(model.learning_rate):
            model.learning_rate = float(state["learning_rate"])
            model._setup_lr_schedule()
        if state["buffer"] is not None:
            _load_buffer(folder / _BUFFER, model.replay_buffer, state["buffer"])
        if same:  # last: building draws numbers too
            _set_random_state(model, state["generators"][ranks.rank], loop)
    except (
        *(KeyError, IndexError, TypeError, ValueError, AttributeError),
        *(ArithmeticError, RuntimeError),
    ) as error:
        raise RunError(
            f"checkpoint {folder} does not fit this environment or algorithm: {error}"
        ) from error
    return state


def load_parameters(path: Path, model: Any) -> None:
    """Load networks and optimisers of a Stable-Baselines3 zip into an algorithm.

    Raises:
        RunError: missing, damaged, or of another network.
    """
    from stable_baselines3.common.save_util import recursive_setattr

    parameters, variables = read_networks(path, model.device)
    try:
        model.set_parameters(parameters, exact_match=True, device=model.device)
    except (ValueError, KeyError, RuntimeError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RunError(f"{path} is of another network ({first}).") from error
    for name, value in variables.items():
        if value is not None:
            recursive_setattr(model, f"{name}.data", value.data)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read an .npz file without pickle.

    Raises:
        RunError: missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise RunError(f"{path} is missing or damaged ({error}).") from error


def _defect(folder: Path) -> str | None:
    """Return why a checkpoint cannot be used, or None."""
    try:
        if not _is_ours(folder):
            return f"{folder} holds what no checkpoint holds"
        digests = read_json(folder / _STATE)["files"]
        changed = [
            name
            for name, digest in digests.items()
            if not _CONTENT.fullmatch(name) or _digest(folder / name) != digest
        ]
    except (RunError, KeyError, AttributeError, OSError) as error:
        return f"{folder}: {error}"
    return f"{folder / changed[0]} has changed" if changed else None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and bool(np.isfinite(value))


def _buffer_state(buffer: Any) -> dict[str, np.ndarray]:
    if hasattr(buffer, "state_dict"):  # tensors on a device
        return buffer.state_dict()
    held = slice(None) if buffer.full else slice(buffer.pos)
    return {name: getattr(buffer, name)[held] for name in _buffer_arrays(buffer)}


def _load_buffer(path: Path, buffer: Any, state: Mapping[str, Any]) -> None:
    arrays = read_arrays(path)
    if hasattr(buffer, "load_state_dict"):
        buffer.load_state_dict(arrays)
        return
    for name in _buffer_arrays(buffer):
        held = arrays[name]
        getattr(buffer, name)[: len(held)] = held
    buffer.pos, buffer.full = int(state["pos"]), bool(state["full"])


def _buffer_arrays(buffer: Any) -> list[str]:
    names = [n for n in _BUFFER_ARRAYS if isinstance(getattr(buffer, n, None), np.ndarray)]
    if "observations" not in names:
        raise RunError(f"a {type(buffer).__name__} cannot be kept in a checkpoint.")
    return names


def _rank_state(
    model: Any, venv: Any
) -> tuple[dict[str, Any] | None, dict[str, Any], dict[str, Any]]:
    """Return what each rank has for itself: its worlds, its loop, and its generators as data."""
    worlds = venv.state_dict() if hasattr(venv.env, "state_dict") else None
    generators, loop = _random_state(model)
    loop.update(_named("last_obs", model._last_obs))
    if model._last_episode_starts is not None:
        loop["last_episode_starts"] = model._last_episode_starts
    return worlds, loop, generators


def _of_rank(name: str, rank: int) -> str:
    return name if rank == 0 else name.replace(".", f"-{rank}.")


def _named(name: str, observation: Any) -> dict[str, np.ndarray]:
    if isinstance(observation, Mapping):
        return {f"{name}/{key}": value for key, value in observation.items()}
    return {} if observation is None else {name: observation}


def _unnamed(name: str, arrays: Mapping[str, np.ndarray]) -> Any:
    if name in arrays:
        return arrays[name]
    parts = {k.partition("/")[2]: v for k, v in arrays.items() if k.startswith(f"{name}/")}
    return parts or None


def _random_state(model: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the state of every generator in use: JSON data, and arrays."""
    import torch

    # The global generator is what SB3 shuffles minibatches with.
    kind, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002
    version, words, next_gauss = random.getstate()
    arrays = {
        "numpy_keys": np.asarray(keys),
        "torch_cpu": torch.get_rng_state().numpy(),
        "python_words": np.array(words, np.uint64),
    }
    if model.device.type == "cuda":
        arrays["torch_cuda"] = torch.cuda.get_rng_state(model.device).numpy()
    plain = {
        "numpy": [kind, position, has_gauss, gauss],
        "python": [version, next_gauss],
        "action_space": model.action_space.np_random.bit_generator.state,
    }
    return plain, arrays


def _set_random_state(
    model: Any, plain: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> None:
    import torch

    kind, position, has_gauss, gauss = plain["numpy"]
    np.random.set_state((kind, arrays["numpy_keys"], position, has_gauss, gauss))  # noqa: NPY002
    version, next_gauss = plain["python"]
    random.setstate((version, tuple(int(w) for w in arrays["python_words"]), next_gauss))
    model.action_space.np_random.bit_generator.state = plain["action_space"]
    torch.set_rng_state(torch.from_numpy(arrays["torch_cpu"]))
    if model.device.type == "cuda" and "torch_cuda" in arrays:
        torch.cuda.set_rng_state(torch.from_numpy(arrays["torch_cuda"]), model.device)
