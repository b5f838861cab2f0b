"""Augmentation: what each policy does, and what none may do."""

import colorsys
from typing import ClassVar

import pytest
import torch

from tests.training.data.noise import colour, generator, grey, random_images
from training.components import Component, build
from training.data.augmentation import AUGMENTATIONS
from training.data.augmentation.glyphs import Glyphs
from training.data.augmentation.jitter import Jitter, _hue_turns
from training.errors import RecipeError

STILL = {"rotation": 0.0, "scale": 0.0, "shear": 0.0, "shift": 0.0, "elastic": 0.0}


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
class TestEveryPolicy:
    def test_shape_and_range(self, name):
        for spec in (grey(), colour(12, 20)):
            images = random_images(5, spec)
            changed = AUGMENTATIONS[name](spec)(images, generator())
            assert changed.shape == images.shape
            assert changed.min() >= 0
            assert changed.max() <= 255

    def test_the_generator_decides(self, name):
        spec = colour()
        images = random_images(4, spec)
        policy = AUGMENTATIONS[name](spec)
        assert torch.equal(policy(images, generator(1)), policy(images, generator(1)))
        if name != "none":
            assert not torch.equal(policy(images, generator(1)), policy(images, generator(2)))

    def test_the_input_stays_as_it_is(self, name):
        spec = colour()
        images = random_images(4, spec)
        before = images.clone()
        AUGMENTATIONS[name](spec)(images, generator())
        assert torch.equal(images, before)

    @pytest.mark.parametrize("fill", [0, 255])
    def test_an_empty_page_stays_empty(self, name, fill):
        if name == "auto-augment":
            pytest.skip("it is for photos, and turns dark into light")
        spec = grey(fill=fill)
        page = torch.full((6, *spec.shape), fill, dtype=torch.uint8)
        component = Component(name=name)
        if name == "jitter":
            component = Component(name=name, options={"brightness": 0.0})
        changed = build(AUGMENTATIONS, "augmentation", component, spec)(page, generator())
        torch.testing.assert_close(changed.float(), page.float(), atol=1e-2, rtol=0)


def seen_through(policy, images: int = 300) -> tuple[torch.Tensor, torch.Tensor]:
    """Where a policy looks, read off pictures whose red rises across and whose green down.

    Returns:
        (N, 2, 2), what a pixel further across (first column) and down moves in the original; and
        (N, 2), in half sides, where the middle comes from.
    """
    side, middle, each = 33, 16, 4
    rise = (torch.arange(side) - middle) * each + 128
    ramps = torch.stack([rise.expand(side, side), rise[:, None].expand(side, side)], -1)
    ramps = torch.cat([ramps, torch.full((side, side, 1), 128)], -1).to(torch.uint8)
    seen = policy(ramps.expand(images, *ramps.shape).contiguous(), generator())[..., :2]
    across = (seen[:, middle, middle + 1] - seen[:, middle, middle - 1]) / (2 * each)
    down = (seen[:, middle + 1, middle] - seen[:, middle - 1, middle]) / (2 * each)
    centre = (seen[:, middle, middle] - 128) / each / (side / 2)
    return torch.stack([across, down], -1), centre


def angles_of(maps: torch.Tensor) -> torch.Tensor:
    """How far each is turned, in degrees, if neither scale is below 0."""
    return torch.rad2deg(torch.atan2(maps[:, 1, 0], maps[:, 0, 0]))


def reaches(values: torch.Tensor, reach: float) -> bool:
    """Whether values go as far as they may both ways, and no further."""
    most = reach * 1.02 + 1e-3
    return bool(0.9 * reach < values.max() < most and -most < values.min() < -0.9 * reach)


def are_apart(one: torch.Tensor, other: torch.Tensor) -> bool:
    return abs(float(torch.corrcoef(torch.stack([one, other]))[0, 1])) < 0.2


class TestGlyphs:
    def test_each_image_is_turned_scaled_sheared_and_moved_by_amounts_of_its_own(self):
        policy = Glyphs(colour(33, 33), elastic=0.0, thicker=0.0, thinner=0.0)
        maps, centres = seen_through(policy)
        angles = angles_of(maps)
        assert reaches(angles, 12)
        back = torch.deg2rad(-angles)
        turns = torch.stack([back.cos(), -back.sin(), back.sin(), back.cos()], -1).view(-1, 2, 2)
        upright = turns @ maps  # ((across, shear · down), (0, down))
        across, down = upright[:, 0, 0].log(), upright[:, 1, 1].log()
        shear = upright[:, 0, 1] / upright[:, 1, 1]
        assert all(reaches(values, 0.2) for values in (across, down, shear))
        assert reaches(centres[:, 0], 0.08)
        assert reaches(centres[:, 1], 0.08)
        amounts = [angles, across, down, shear, centres[:, 0], centres[:, 1]]
        assert all(
            are_apart(one, other) for at, one in enumerate(amounts) for other in amounts[:at]
        )

    def test_each_image_is_bent_by_a_share_of_its_own(self):
        still = {name: 0.0 for name in STILL if name != "elastic"}
        policy = Glyphs(colour(33, 33), **still, elastic=0.06, thicker=0.0, thinner=0.0)
        _, centres = seen_through(policy, 2000)
        # The middle is a knot: normal, times a share drawn evenly from [0, 1.5), of mean square ¾.
        assert centres.std() == pytest.approx(0.06 * 0.75**0.5, rel=0.1)
        kurtosis = (centres / centres.std()).pow(4).mean()
        assert kurtosis > 4, "a normal variable of one deviation for all has 3, and this 5.4"

    def test_strokes_grow_by_up_to_a_pixel_and_shrink_by_up_to_half_of_one(self):
        spec = grey()
        images = torch.full((400, *spec.shape), 255, dtype=torch.uint8)
        images[:, :, 6:10] = 0
        changed = Glyphs(spec, **STILL, thicker=0.4, thinner=0.3)(images, generator())
        grown = 1 - changed[:, 8, 5, 0] / 255
        shrunk = changed[:, 8, 6, 0] / 255
        assert (grown > 0).float().mean() == pytest.approx(0.4, abs=0.07)
        assert (shrunk > 0).float().mean() == pytest.approx(0.3, abs=0.07)
        assert not ((grown > 0) & (shrunk > 0)).any()
        assert 0.9 < grown.max() <= 1
        assert grown[grown > 0].min() < 0.1
        assert 0.45 < shrunk.max() <= 0.5

    @pytest.mark.parametrize("fill", [0, 255])
    @pytest.mark.parametrize("thicker", [True, False])
    def test_strokes_grow_and_shrink_whatever_the_ink(self, fill, thicker):
        spec = grey(fill=fill)
        ink = 255 - fill
        images = torch.full((8, *spec.shape), fill, dtype=torch.uint8)
        images[:, 4:12, 6:10] = ink
        shares = {"thicker": 1.0, "thinner": 0.0} if thicker else {"thicker": 0.0, "thinner": 1.0}
        changed = Glyphs(spec, **STILL, **shares)(images, generator())
        before = (images.float() - fill).abs().sum((1, 2, 3))
        after = (changed - fill).abs().sum((1, 2, 3))
        assert ((after > before) if thicker else (after < before)).all()

    def test_never_mirrored(self):
        """An L turned and bent is nearer to an L than to its mirror image."""
        spec = grey(32)
        letter = torch.full(spec.shape, 255, dtype=torch.uint8)
        letter[6:26, 8:11] = 0
        letter[23:26, 8:22] = 0
        changed = Glyphs(spec)(letter.expand(64, *spec.shape).contiguous(), generator())
        ink = (255 - changed).flatten(1)
        here = (ink * (255 - letter.float()).flatten()).sum(1)
        mirror = (ink * (255 - letter.flip(1).float()).flatten()).sum(1)
        assert (here > mirror).all()

    @pytest.mark.parametrize("options", [{"thicker": 0.7, "thinner": 0.7}, {"knots": 1}])
    def test_impossible_options(self, options):
        with pytest.raises(RecipeError):
            build(AUGMENTATIONS, "augmentation", Component(name="glyphs", options=options), grey())


class TestJitter:
    PLAIN: ClassVar = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0}

    def test_each_image_is_turned_cropped_and_stretched_by_amounts_of_its_own(self):
        maps, centres = seen_through(Jitter(colour(33, 33), **self.PLAIN))
        assert reaches(angles_of(maps), 10)
        sides = maps.norm(dim=1)
        side, stretch = sides.prod(1).sqrt(), (sides[:, 0] / sides[:, 1]).log()
        assert 0.69 < side.min() < 0.73
        assert 0.97 < side.max() < 1.01
        assert reaches(stretch, 0.1)
        # Placed evenly in what there is beside the crop.
        for place in (centres / (1 - side)[:, None].clamp(min=0.05)).T:
            assert place.max() > 0.9
            assert place.min() < -0.9
        assert (centres.abs() <= (1 - side)[:, None] + 0.01).all()

    def test_the_share_that_is_told_is_mirrored(self):
        policy = Jitter(colour(33, 33), **self.PLAIN, mirror=0.3)
        assert policy.mirrors
        assert not Jitter(colour(33, 33)).mirrors
        maps, _ = seen_through(policy, 600)
        assert (torch.linalg.det(maps) < 0).float().mean() == pytest.approx(0.3, abs=0.06)

    @pytest.mark.parametrize("option", ["brightness", "contrast", "saturation"])
    def test_each_change_of_colour_is_of_what_it_says(self, option):
        """Half of each picture is orange and half a dark blue."""
        spec = colour()
        still = {"rotation": 0.0, "crop": 1.0, "aspect": 0.0, **self.PLAIN, option: 0.3}
        images = torch.tensor([150, 90, 60], dtype=torch.uint8).expand(300, *spec.shape).clone()
        images[:, :, 8:] = torch.tensor([40, 50, 100], dtype=torch.uint8)
        changed = Jitter(spec, **still)(images, generator())
        before = images[:, 8, [4, 12]].double()  # (N, 2 halves, 3 colours)
        after = changed[:, 8, [4, 12]].double()
        if option == "brightness":
            centre = torch.zeros(1, 1, 1)
        elif option == "contrast":
            centre = before.mean((1, 2), keepdim=True)
        else:
            # ITU-R BT.601, as for every grey value here.
            luma = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)
            centre = (before @ luma)[..., None]
        factors = (after - centre) / (before - centre)
        assert torch.allclose(factors, factors[:, :1, :1].expand_as(factors), atol=1e-3)
        assert reaches(factors[:, 0, 0] - 1, 0.3)

    def test_mirrors_only_if_told(self):
        spec = colour()
        still = {"rotation": 0.0, "crop": 1.0, "aspect": 0.0}
        still |= {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0}
        images = random_images(4, spec)
        kept = Jitter(spec, **still)(images, generator())
        torch.testing.assert_close(kept, images.float(), atol=1e-2, rtol=0)
        mirrored = Jitter(spec, **still, mirror=1.0)(images, generator())
        torch.testing.assert_close(mirrored, images.flip(2).float(), atol=1e-2, rtol=0)

    def test_a_crop_shows_nothing_beyond_the_border(self):
        spec = colour()
        policy = Jitter(spec, rotation=0.0, aspect=0.0, crop=0.5, contrast=0.0, brightness=0.0)
        black = torch.zeros((16, *spec.shape), dtype=torch.uint8)
        # Pixels at the very edge are blended with the fill by half a pixel at most.
        assert policy(black, generator()).max() <= spec.fill / 2

    def test_grey_stays_grey(self):
        spec = colour()
        images = random_images(4, grey()).expand(4, *spec.shape).contiguous()
        changed = Jitter(spec)(images, generator())
        assert (changed.amax(-1) - changed.amin(-1)).max() < 0.1 * 255

    def test_light_multiplies_each_colour_by_a_factor_of_its_own(self):
        spec = colour()
        still = {"rotation": 0.0, "crop": 1.0, "aspect": 0.0}
        still |= {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0}
        images = random_images(32, spec).clamp(20, 140)
        factors = Jitter(spec, **still, light=0.3)(images, generator()) / images
        of_image = factors.mean((1, 2))
        torch.testing.assert_close(factors, of_image[:, None, None].expand_as(factors))
        # Their logarithms have a mean of 0, so that of 0.3 either way none comes further than 0.4.
        logarithms = of_image.log()
        torch.testing.assert_close(logarithms.sum(-1), torch.zeros(32), atol=1e-3, rtol=0)
        assert 0.2 < logarithms.abs().max() < 0.4

    def test_light_changes_nothing_of_grey_pictures_and_no_other_draw(self):
        spec, light = grey(), {"light": 0.3}
        images = random_images(4, spec)
        plain = Jitter(spec)(images, generator())
        assert torch.equal(Jitter(spec, **light)(images, generator()), plain)
        assert not torch.equal(
            Jitter(colour(), **light)(random_images(4, colour()), generator()),
            Jitter(colour())(random_images(4, colour()), generator()),
        )

    @pytest.mark.parametrize("turned", [120.0, 240.0])
    def test_a_third_of_a_turn_takes_each_colour_to_the_next(self, turned):
        images = random_images(2, colour()).float()
        found = images @ _hue_turns(torch.tensor([turned, 0.0]))
        next_ones = images[0].roll(round(turned / 120), -1)
        torch.testing.assert_close(found[0], next_ones, atol=1e-3, rtol=0)
        torch.testing.assert_close(found[1], images[1], atol=1e-3, rtol=0)

    def test_hue_turns_each_image_by_an_angle_of_its_own_and_leaves_greys(self):
        spec = colour()
        still = {"rotation": 0.0, "crop": 1.0, "aspect": 0.0}
        still |= {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0}
        reddish = torch.tensor([150, 100, 100], dtype=torch.uint8).expand(64, *spec.shape)
        changed = Jitter(spec, **still, hue=30.0)(reddish.contiguous(), generator())
        hues = [360 * colorsys.rgb_to_hsv(*pixel)[0] for pixel in (changed[:, 8, 8] / 255).tolist()]
        turns = [(hue + 180) % 360 - 180 for hue in hues]
        assert max(map(abs, turns)) == pytest.approx(30, abs=3)
        assert min(turns) < -20 < 20 < max(turns)
        grey_ones = torch.full((4, *spec.shape), 90, dtype=torch.uint8)
        found = Jitter(spec, **still, hue=180.0)(grey_ones, generator())
        torch.testing.assert_close(found[:, 4:12, 4:12], grey_ones[:, 4:12, 4:12].float())

    def test_no_hue_is_no_other_draw_for_light(self):
        """Recipes from before there was a hue train as they did."""
        spec = colour()
        images = random_images(4, spec)
        plain = Jitter(spec, light=0.3)(images, generator())
        assert torch.equal(Jitter(spec, light=0.3, hue=0.0)(images, generator()), plain)
        assert not torch.equal(Jitter(spec, light=0.3, hue=9.0)(images, generator()), plain)

    def test_impossible_hue(self):
        component = Component(name="jitter", options={"hue": 181})
        with pytest.raises(RecipeError, match="hue must be in"):
            build(AUGMENTATIONS, "augmentation", component, colour())

    def test_resolution_makes_pictures_smaller_and_shows_as_much(self):
        spec = colour(8, 12)
        still = {"rotation": 0.0, "crop": 1.0, "aspect": 0.0}
        still |= {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0}
        images = random_images(4, spec)
        policy = Jitter(spec, **still, resolution=0.5)
        assert policy.size == (4, 6)
        expected = images.float().unflatten(1, (4, 2)).unflatten(3, (6, 2)).mean((2, 4))
        torch.testing.assert_close(policy(images, generator()), expected, atol=1e-2, rtol=0)

    @pytest.mark.parametrize("resolution", [0.0, -1.0, 1.5])
    def test_impossible_resolution(self, resolution):
        with pytest.raises(RecipeError, match="resolution"):
            build(
                AUGMENTATIONS,
                "augmentation",
                Component(name="jitter", options={"resolution": resolution}),
                grey(),
            )
