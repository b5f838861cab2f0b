"""Training speed against a plain loop: `python -m benchmarks.training`.

Both train the network of recipe `vgg16-sigmoid` on pairs of Omniglot characters, on the CPU. The
plain loop is written the way tutorials are: one process, pictures opened with Pillow inside the
loop, two forward passes a pair. Every measurement is a process of its own; rounds are interleaved.
"""

import argparse
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from io import BytesIO

import numpy as np
import torch
from PIL import Image
from torch import nn
from torchvision.models import vgg16

from benchmarks.data import data_folder
from benchmarks.output import add_outputs, write_outputs
from benchmarks.provenance import provenance
from training.data.folders import ImageFolder
from training.data.opening import open_data
from training.data.pixels import load_pixels
from training.data.training_set import TrainingSet
from training.learning.faster import settled_precision
from training.learning.learner import Learner
from training.memory import keep_freed_memory
from training.recipe.files import load_recipe
from training.run.planning import plan_training

DATA = data_folder() / "omniglot/images_background.zip"
_CLASSES = 40


def plain(folder: ImageFolder, pairs: int, steps: int) -> float:
    """Images/s of the plain loop, after one step to warm up."""

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = vgg16(weights=None).features
            self.head = nn.Sequential(nn.Linear(4608, 512), nn.Linear(512, 1))

        def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
            one = self.features(left).flatten(1)
            two = self.features(right).flatten(1)
            scores: torch.Tensor = self.head((one - two).abs())[:, 0]
            return scores

    rng = random.Random(0)
    by_class: list[list[int]] = [[] for _ in folder.classes]
    for index, item in enumerate(folder.items):
        by_class[item.label].append(index)

    def opened(index: int) -> torch.Tensor:
        image = Image.open(BytesIO(folder.read(folder.items[index]))).convert("RGB")
        turned = image.rotate(rng.uniform(-10, 10), fillcolor=(255, 255, 255)).resize((105, 105))
        return torch.from_numpy(np.array(turned)).permute(2, 0, 1).float() / 255

    network = Network().train()
    optimiser = torch.optim.SGD(
        network.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4
    )
    loss_of = nn.BCEWithLogitsLoss()

    def step() -> None:
        left, right, same = [], [], []
        for pair in range(pairs):
            genuine = pair % 2 == 0
            if genuine:
                one, two = rng.sample(by_class[rng.randrange(len(by_class))], 2)
            else:
                one, two = (rng.choice(members) for members in rng.sample(by_class, 2))
            left.append(opened(one))
            right.append(opened(two))
            same.append(float(genuine))
        optimiser.zero_grad()
        loss = loss_of(network(torch.stack(left), torch.stack(right)), torch.tensor(same))
        loss.backward()
        optimiser.step()
        loss.item()

    step()
    began = time.perf_counter()
    for _ in range(steps):
        step()
    return 2 * pairs * steps / (time.perf_counter() - began)


def twinlens(folder: ImageFolder, pairs: int, steps: int, side_by_side: int) -> float:
    """Images/s of `fit`'s own parts, after one step to warm up."""
    keep_freed_memory()
    recipe = load_recipe(
        "vgg16-sigmoid",
        [
            f"batch={pairs // side_by_side}",
            f"batches_per_step={side_by_side}",
            f"max_steps={steps + 1}",
        ],
    )
    device = torch.device("cpu")
    recipe = settled_precision(recipe, device, lambda _: None)
    pixels = load_pixels(folder, recipe.preprocessing, budget=2**30, workers=2)
    images = TrainingSet(pixels, turned_classes=False)
    batches, _ = plan_training(images, recipe, device, validates=False)
    learner = Learner(recipe, len(images.table), device)
    seen, began = 0, 0.0
    for number, makings in enumerate(batches.following(0)):
        learnt = learner.step(makings, number, 0.5)
        float(learnt.loss)
        if number == 0:
            began = time.perf_counter()
        else:
            seen += learnt.images
    return seen / (time.perf_counter() - began)


_WORKERS: dict[str, Callable[[ImageFolder, int, int], float]] = {
    "plain": plain,
    "twinlens": lambda folder, pairs, steps: twinlens(folder, pairs, steps, 1),
    "twinlens, two batches side by side": lambda folder, pairs, steps: twinlens(
        folder, pairs, steps, 2
    ),
}


def main() -> None:
    """Measures, prints and optionally writes the figures."""
    parser = argparse.ArgumentParser(description="Training speed against a plain loop.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4, help="timed steps of each measurement")
    parser.add_argument("--pairs", type=int, default=16, help="pairs a step")
    add_outputs(parser)
    parser.add_argument("--worker", choices=sorted(_WORKERS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        opened = open_data(DATA).whole
        if opened is None:
            raise SystemExit(f"{DATA} is not the background set of Omniglot")
        folder = opened.subset(range(_CLASSES))
        print(_WORKERS[options.worker](folder, options.pairs, options.steps))
        return
    if not DATA.exists():
        raise SystemExit(f"{DATA} is not there; say with TWINLENS_DATA where the data sets are")
    begun = provenance("benchmarks.training")
    found: dict[str, list[float]] = {name: [] for name in _WORKERS}
    for number in range(options.rounds):
        for name in _WORKERS:
            words = [sys.executable, "-m", "benchmarks.training", "--worker", name]
            words += ["--steps", str(options.steps), "--pairs", str(options.pairs)]
            done = subprocess.run(words, check=True, capture_output=True, text=True)
            found[name].append(float(done.stdout))
            print(f"round {number + 1}: {name}: {found[name][-1]:.1f} images/s", flush=True)
    medians = {name: statistics.median(speeds) for name, speeds in found.items()}
    for name, speed in medians.items():
        print(f"{name}: {speed:.1f} images/s, {speed / medians['plain']:.2f} x the plain loop")
    content = {
        **begun,
        "torch": torch.__version__,
        "images_per_second": found,
        "medians": medians,
    }
    write_outputs(options, content)


if __name__ == "__main__":
    main()
