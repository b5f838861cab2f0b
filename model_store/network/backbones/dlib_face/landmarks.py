"""Where the eyes and the nose of a face are.

An ensemble of regression trees (Kazemi, Sullivan, CVPR 2014) in dlib's form: fifteen cascades of
five hundred trees, each comparing pixels that lie beside the points as they are known so far. As
in dlib, points are the corners of the (subject's) left eye, outer and inner, those of the right
eye, and the base of the nose.
"""

import torch
from torch import nn
from torch.nn import functional

from model_store.network.backbones.dlib_face.similarity import linear_part, times

POINTS = 5


class LandmarkRegressor(nn.Module):
    """Finds points in boxes.

    Its numbers are buffers, for nothing here learns: they come from a file.

    Args:
        points: Points of a face.
        cascades: Rounds of looking at pixels and moving the points.
        trees: Trees of a round.
        depth: Splits on the way to a leaf.
        pixels: Pixels that a round looks at.
    """

    def __init__(
        self,
        *,
        points: int = POINTS,
        cascades: int = 15,
        trees: int = 500,
        depth: int = 4,
        pixels: int = 800,
    ) -> None:
        super().__init__()
        self.register_buffer("initial", torch.zeros(2 * points))
        self.cascades = nn.ModuleList(
            Cascade(points=points, trees=trees, depth=depth, pixels=pixels) for _ in range(cascades)
        )

    def forward(self, grey: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        """Points of a face in each picture.

        Args:
            grey: (N, H, W), whole values 0–255.
            boxes: (N, 4), left, top, right and bottom in pixels.

        Returns:
            (N, points, 2), x and y in pixels.
        """
        # What lies outside the picture has the value 0: a border of one pixel stands for all of it.
        bordered = functional.pad(grey, (1, 1, 1, 1))
        corner, size = boxes[:, :2, None], (boxes[:, 2:] - boxes[:, :2])[:, :, None]
        shape = self.get_buffer("initial") + torch.zeros_like(boxes[:, :1])
        for cascade in self.cascades:
            shape = shape + cascade(shape, bordered, corner, size)
        return (corner + size * shape.reshape(-1, 2, shape.shape[1] // 2)).transpose(1, 2)


class Cascade(nn.Module):
    """One round: from points and the pixels beside them to where the points should move.

    Args:
        points: As `LandmarkRegressor`, and so all others.
        trees: Trees.
        depth: Splits on the way to a leaf.
        pixels: Pixels that are looked at.

    Attributes:
        places: float32 (2 · points, 2 · pixels): where the pixels lie is linear in the points (see
            `linear_places`). First all x, then all y, on both sides.
        pairs: int64 (2, trees · splits), the two pixels that each split compares.
        thresholds: float32 (trees, splits); left where the first pixel exceeds the second by more.
        leaves: float32 (trees · (splits + 1), 2 · points), what reaching a leaf adds to the points.
    """

    def __init__(self, *, points: int, trees: int, depth: int, pixels: int) -> None:
        super().__init__()
        self._depth = depth
        splits = 2**depth - 1
        self.register_buffer("places", torch.zeros(2 * points, 2 * pixels))
        self.register_buffer("pairs", torch.zeros(2, trees * splits, dtype=torch.int64))
        self.register_buffer("thresholds", torch.zeros(trees, splits))
        self.register_buffer("leaves", torch.zeros(trees * (splits + 1), 2 * points))

    def forward(
        self, shape: torch.Tensor, grey: torch.Tensor, corner: torch.Tensor, size: torch.Tensor
    ) -> torch.Tensor:
        """The sum of all trees.

        Args:
            shape: (N, 2 · points), in a box from (0, 0) to (1, 1), first all x, then all y.
            grey: (N, H + 2, W + 2), the picture with a border of one black pixel.
            corner: (N, 2, 1), the left upper corner of the box in the picture without it.
            size: (N, 2, 1), its sides.

        Returns:
            (N, 2 · points), what to add to the shape.
        """
        height, width = grey.shape[-2:]
        places = self.get_buffer("places")
        beside = (shape @ places).reshape(-1, 2, places.shape[1] // 2)
        x, y = torch.floor(corner + size * beside + 1.5).to(torch.int64).unbind(dim=1)
        index = y.clamp(0, height - 1) * width + x.clamp(0, width - 1)
        values = torch.gather(grey.flatten(1), 1, index)
        one, other = self.get_buffer("pairs")
        thresholds = self.get_buffer("thresholds")
        trees, splits = thresholds.shape
        differences = (values[:, one] - values[:, other]).reshape(-1, trees, splits)
        # The children of a node are 2·node + 1 and, on the right, 2·node + 2.
        nodes = torch.arange(splits, device=shape.device)
        child = (differences <= thresholds).to(torch.int64) + (2 * nodes + 1)
        node = child[..., :1]
        for _ in range(self._depth - 1):
            node = torch.gather(child, 2, node)
        first = torch.arange(trees, device=shape.device) * (splits + 1) - splits
        return functional.embedding(node[..., 0] + first, self.get_buffer("leaves")).sum(dim=1)


def linear_places(
    initial: torch.Tensor, anchors: torch.Tensor, deltas: torch.Tensor
) -> torch.Tensor:
    """Where pixels lie that are given beside the points of a shape, as a linear map of the points.

    A pixel is a point and a difference in the initial shape; in another shape the difference is
    turned and scaled by the similarity that brings the initial shape nearest to it.

    Args:
        initial: (points, 2), the initial shape.
        anchors: int64 (pixels,), the point that each pixel lies beside.
        deltas: (pixels, 2), where from there.

    Returns:
        (2 · points, 2 · pixels), as `Cascade.places`.
    """
    points = len(initial)
    shapes = torch.eye(2 * points, dtype=initial.dtype).reshape(-1, 2, points).transpose(1, 2)
    turned = times(linear_part(initial, shapes)[:, None], deltas)
    return (shapes[:, anchors] + turned).transpose(1, 2).flatten(1)
