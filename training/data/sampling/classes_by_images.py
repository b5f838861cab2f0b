"""P classes with K images each, from all groups or from a few."""

import numpy as np

from training.data.sampling.base import ClassTable, Draw, Integers, Sampler
from training.randomness import Stream, numpy_generator


class ClassesByImages(Sampler):
    """Draws P different classes and K images of each, where P·K is the batch.

    A class with fewer than K images gives some of them more than once. Classes with a single
    image are never drawn. Where images have sides, half of the K are left ones and half
    right ones, and K must be even; classes on one side alone are never drawn.

    Args:
        table: The classes to draw from.
        batch: Images a step; P is batch / K, rounded down.
        seed: The run's seed.
        images: K, ≥ 2.
        groups: 0 draws the classes from all groups alike. From 1 on, they come from that many
            groups, an even share from each, a group drawn in proportion to its classes: with 1,
            all are of one group, which is the task a one-shot trial sets. A group that has fewer
            classes than its share gives all it has, and the batch is then smaller.
    """

    def __init__(
        self, table: ClassTable, batch: int, seed: int, *, images: int = 2, groups: int = 0
    ) -> None:
        super().__init__(table, batch, seed)
        if images < 2 or groups < 0:
            raise ValueError("images must be 2 or above, groups 0 or above")
        self._images = images
        self._share = batch // images // max(groups, 1)
        if self._share < 2:
            raise ValueError(
                f"a batch of {batch} is too small for 2 classes of {images} images "
                + (f"from each of {groups} groups" if groups else "")
            )
        if table.sides is None:
            self._takes = [(table, images)]
            paired = np.flatnonzero(table.counts >= 2)
        else:
            if images % 2:
                raise ValueError("images must be even where images have sides: half are of each")
            self._takes = [(side, images // 2) for side in table.sides]
            paired = np.flatnonzero(np.minimum(*(side.counts for side in table.sides)) >= 1)
        of = table.groups[paired] if groups else np.zeros(len(paired), dtype=np.int64)
        pools = [paired[of == group] for group in np.unique(of)]
        self._pools = [pool for pool in pools if len(pool) >= 2]
        self._drawn = max(groups, 1)
        if len(self._pools) < self._drawn:
            raise ValueError(
                f"{self._drawn} group(s) with 2 classes of 2 images are wanted, and there are "
                f"{len(self._pools)}; add images or lower 'groups'"
            )
        sizes = np.array([len(pool) for pool in self._pools], dtype=np.float64)
        self._odds = sizes / sizes.sum()

    @property
    def images_per_step(self) -> int:
        """The batch; less where there are not as many classes as it wants, in any of the groups.

        An epoch of the whole batch's length would then go through a part of the images.
        """
        fullest = max(len(pool) for pool in self._pools)
        return self.batch if fullest >= self._share else self._drawn * fullest * self._images

    def draw(self, step: int) -> Draw:
        """As `Sampler.draw`."""
        rng = numpy_generator(self.seed, Stream.SAMPLING, step)
        chosen = rng.choice(len(self._pools), self._drawn, replace=False, p=self._odds)
        classes = np.concatenate(
            [rng.permutation(self._pools[group])[: self._share] for group in chosen]
        )
        images = np.stack(
            [
                np.concatenate([self._some(rng, table, c, many) for table, many in self._takes])
                for c in classes.tolist()
            ]
        )
        return Draw(images.reshape(-1))

    def _some(self, rng: np.random.Generator, table: ClassTable, label: int, many: int) -> Integers:
        positions = np.resize(rng.permutation(int(table.counts[label])), many).astype(np.int64)
        return table.image(np.full(many, label), positions)
