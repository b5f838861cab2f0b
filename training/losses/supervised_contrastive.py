"""Each image is told to be nearer to each of its class than to all others in the batch."""

import torch
from torch.nn import functional
from typing_extensions import override

from model_store.network import SiameseNetwork
from training.data.batch import Batch
from training.errors import RecipeError
from training.losses.accuracy import share_in_order
from training.losses.base import Loss, Measured


class SupervisedContrastive(Loss):
    """The supervised contrastive loss (Khosla et al. 2020, arXiv 2004.11362, equation 2).

    For an anchor i with positives P(i), other images of its class, and a candidate set A(i), all
    other images:  −1/|P(i)| Σ_{p∈P(i)} ln( exp(z_i·z_p·s) / Σ_{a∈A(i)} exp(z_i·z_a·s) ), averaged
    over the anchors that have a positive; z are the embeddings at unit length. Its accuracy is the
    share of all triplets, of an anchor, a positive and a candidate of another class, whose
    positive is the nearer one.

    Args:
        dimension: Values of an embedding.
        classes: Classes in the training data.
        scale: s, the inverse temperature, > 0.
        within_groups: Whether A(i) holds images of the anchor's own group only, such as one
            alphabet: others are told apart easily, and teach little.
        one_positive: Whether A(i) leaves out the other positives, so that each term asks of one
            positive to beat all impostors (equation 3 of Yeh et al. 2022, arXiv 2110.06848).
    """

    def __init__(
        self,
        dimension: int,
        classes: int,
        *,
        scale: float = 10.0,
        within_groups: bool = False,
        one_positive: bool = False,
    ) -> None:
        super().__init__(dimension, classes)
        if scale <= 0:
            raise ValueError("scale must be above 0")
        self.scale = scale
        self.within_groups = within_groups
        self.one_positive = one_positive

    @override
    def measured(self, network: SiameseNetwork, embeddings: torch.Tensor, batch: Batch) -> Measured:
        """As `Loss.measured`; embeddings need not have unit length."""
        unit = functional.normalize(embeddings, dim=-1)
        alike = self.scale * unit @ unit.T
        positive, candidate = self._relations(batch)
        anchors = positive.any(1)
        if not bool(anchors.any()):
            raise RecipeError(
                "loss 'supervised-contrastive' found no two images of one class in the batch; set "
                "sampling.name=classes-by-images"
            )
        nothing = torch.finfo(alike.dtype).min
        if self.one_positive:
            impostors = alike.masked_fill(~candidate | positive, nothing)
            rivals = impostors.logsumexp(1, keepdim=True)
            terms = functional.softplus(rivals - alike)
        else:
            terms = alike.masked_fill(~candidate, nothing).logsumexp(1, keepdim=True) - alike
        per_anchor = (terms * positive).sum(1) / positive.sum(1).clamp(min=1)
        return Measured(
            per_anchor[anchors].mean(),
            share_in_order(-alike.detach(), positive, candidate & ~positive),
        )

    @override
    def collapsed_value(self, batch: Batch) -> float | None:
        """The mean of ln |A(i)| over the anchors; with `one_positive`, of ln(1 + impostors)."""
        positive, candidate = self._relations(batch)
        anchors = positive.any(1)
        if not bool(anchors.any()):
            return None
        rivals = 1 + (candidate & ~positive).sum(1) if self.one_positive else candidate.sum(1)
        return float(rivals[anchors].log().mean())

    def _relations(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Bool (N, N) twice: which images are positives, which candidates, of which anchor."""
        labels, groups = batch.labels, batch.groups
        itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        positive = (labels[:, None] == labels) & ~itself
        return positive, ~itself & (groups[:, None] == groups) if self.within_groups else ~itself
