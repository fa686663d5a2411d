"""Training goes on from its own checkpoint alone."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import narrows  # noqa: E402
from narrows.training import loop  # noqa: E402


class Trap:
    """Unpickled it would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (self.path,)


def trained(folder: Path, outputs: int = 2, *, steps: int = 3, resume: bool = False) -> torch.nn.Module:
    torch.manual_seed(0)
    model = torch.nn.Linear(3, outputs)

    def loss_of(step: int, rng: np.random.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        return model(torch.from_numpy(rng.normal(size=(4, 3))).float()).square().mean(), {}

    groups = [{"params": list(model.parameters()), "lr": 0.01}]
    return loop.fit(model, groups, loss_of, steps=steps, seed=1, folder=folder, resume=resume)


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    trained(tmp_path / "a", steps=3)
    again = trained(tmp_path / "a", steps=3, resume=True)
    assert torch.equal(again.weight, trained(tmp_path / "b", steps=3).weight)


@pytest.mark.parametrize(
    "kind", ["cut", "empty", "other bytes", "pickled", "another shape", "another mean", "other keys"]
)
def test_what_is_no_checkpoint_of_this_training_is_refused(tmp_path: Path, kind: str) -> None:
    trained(tmp_path)
    path = tmp_path / "checkpoint.pt"
    whole = path.read_bytes()
    if kind == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "other bytes":
        path.write_bytes(b"no checkpoint" * 20)
    elif kind == "pickled":
        path.write_bytes(pickle.dumps({"model": Trap(tmp_path / "ran")}, protocol=2))
    elif kind == "another mean":
        state = torch.load(path, weights_only=True)
        state["average"]["bias"] = torch.zeros(3)
        torch.save(state, path)
    elif kind == "other keys":
        torch.save({"weights": torch.zeros(3)}, path)
    with pytest.raises(narrows.ModelError, match="not a checkpoint of this training") as caught:
        trained(tmp_path, 5 if kind == "another shape" else 2, resume=True)
    assert caught.value.path == str(path)
    assert not (tmp_path / "ran").exists()
