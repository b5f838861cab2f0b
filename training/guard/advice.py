"""What to change about a training that has collapsed."""

from training.data.sampling import SAMPLERS
from training.guard.collapse import Symptom
from training.recipe import Recipe

_LOWER = 10
_MUCH_DECAY = 0.01


def advice(recipe: Recipe, symptom: Symptom) -> tuple[str, ...]:
    """What can help, the likeliest first, each with what to type.

    Args:
        recipe: What collapsed.
        symptom: By what that was noticed.
    """
    rate = recipe.optimiser.learning_rate / _LOWER
    found = [
        *_about_mining(recipe),
        f"a lower learning rate (--set optimiser.learning_rate={rate:.2g})",
    ]
    if recipe.schedule.warm_up == 0:
        found.append("a rate that rises slowly at first (--set schedule.warm_up=0.1)")
    if recipe.clip is None:
        found.append("shorter steps where gradients are large (--set clip=1)")
    if recipe.optimiser.weight_decay >= _MUCH_DECAY:
        less = recipe.optimiser.weight_decay / _LOWER
        found.append(f"less weight decay (--set optimiser.weight_decay={less:.2g})")
    found += _about_norm(recipe)
    if symptom is Symptom.CHANCE:
        found += [
            "more classes or images, or stronger augmentation, if the loss fell all the same",
            "a longer training (--set max_steps=… or epochs=…), if the loss was still falling",
        ]
    elif recipe.start.backbone is None and recipe.start.model is None:
        found.append("weights to start from (--set start=imagenet, for backbones that have some)")
    found.append("a look at the data: each folder must hold one class, and all of it")
    return tuple(found)


def _about_mining(recipe: Recipe) -> list[str]:
    """Semi-hard negatives, where the hardest are taken; they pull embeddings to one point early.

    Schroff, Kalenichenko, Philbin 2015, arXiv 1503.03832, section 3.2.
    """
    loss = recipe.loss
    if not loss.name.startswith("triplet"):
        return []
    default = "semi-hard" if loss.name == "triplet-margin" else "all"
    if loss.options.get("mining", default) == "semi-hard":
        return []
    return ["semi-hard negatives (--set loss.options.mining=semi-hard)"]


def _about_norm(recipe: Recipe) -> list[str]:
    branches = recipe.network.branches
    if len(branches) > 1 and SAMPLERS[recipe.sampling.name].by_image:
        return []  # A batch may have a single image of a side: planning would refuse it.
    return [
        f"batch normalisation of the embedding (--set network.branches.{at}.batch_norm=true)"
        for at, branch in enumerate(branches)
        if not branch.batch_norm
    ]
