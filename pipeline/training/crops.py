"""Composes batches of object crops for contrastive training, as the ingest pipeline cuts them."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

CROP_PX = 96
_CUTOUT_SHARE, _SCRAP_SHARE = 0.85, 0.7
_MAX_BEND = 0.12
_JOINED_SHARE, _CUT_SHARE = 0.15, 0.25
_GREY_SHARE, _TURNED_SHARE = 0.15, 0.5
CUTOUT_FILL = (122 / 255, 116 / 255, 104 / 255)  # the mean colour of CLIP's training images


def sample_uniform(generator: torch.Generator, count: int, low: float, high: float) -> Tensor:
    return torch.rand(count, generator=generator) * (high - low) + low


def place_sprites(
    sprites: Tensor,
    scale: Tensor,
    angle: Tensor,
    shift_xy: tuple[Tensor, Tensor],
    aspect: float | Tensor = 1,
    bend: float | Tensor = 0,
) -> Tensor:
    """Sprites (n, 4, s, s), premultiplied, placed in a frame: (n, 4, CROP_PX, CROP_PX).

    `scale` is the sprite's side over the frame's; negative mirrors. `shift_xy` is in half frames.
    `aspect` widens and flattens by its square root; `bend`, (n, CROP_PX, CROP_PX, 2) in half
    frames, displaces every pixel.
    """
    x, y = shift_xy
    cos, sin = torch.cos(angle) / scale.abs(), torch.sin(angle) / scale.abs()
    flip = torch.sign(scale)
    first = torch.stack([flip * cos, flip * sin, -flip * (cos * x + sin * y)], dim=1)
    second = torch.stack([-sin, cos, sin * x - cos * y], dim=1)
    stretch = torch.as_tensor(aspect).sqrt().expand(len(sprites))[:, None]
    theta = torch.stack([first / stretch, second * stretch], dim=1)
    grid = functional.affine_grid(theta, [len(sprites), 4, CROP_PX, CROP_PX], align_corners=False)
    return functional.grid_sample(sprites, grid + bend, align_corners=False)


def sample_bends(generator: torch.Generator, count: int) -> Tensor:
    """Smooth displacements, (n, CROP_PX, CROP_PX, 2), in half frames, as between two artists."""
    size, strength = (CROP_PX, CROP_PX), sample_uniform(generator, count, 0, _MAX_BEND)
    noise = torch.randn(count, 2, 4, 4, generator=generator) * strength[:, None, None, None]
    shifts = functional.interpolate(noise, size, mode="bicubic", align_corners=True)
    return shifts.permute(0, 2, 3, 1)


def turn_hues(colour: Tensor, generator: torch.Generator) -> Tensor:
    """Give a share of the images another hue: what an object is seldom depends on it.

    colour (n, 3, s, s), less its grey. Rodrigues' rotation around the axis of greys.
    """
    turned = torch.rand(len(colour), generator=generator) < _TURNED_SHARE
    angle = (sample_uniform(generator, len(colour), 0, 2 * math.pi) * turned)[:, None, None, None]
    across = (colour.roll(1, dims=1) - colour.roll(-1, dims=1)) / math.sqrt(3)
    return colour * torch.cos(angle) + across * torch.sin(angle)


def restyle(sprites: Tensor, generator: torch.Generator) -> Tensor:
    """Vary colours as another artist might: lightness, tint, saturation and contrast.

    Sprites (n, 4, s, s), premultiplied. In a style that training does not show, a concept has to be
    recognized by its shape too.
    """
    count = len(sprites)

    def factor(low: float, high: float, channels: int = 1) -> Tensor:
        return sample_uniform(generator, count * channels, low, high).view(count, channels, 1, 1)

    colour, alpha = sprites[:, :3] * factor(0.75, 1.15) * factor(0.7, 1.3, 3), sprites[:, 3:]
    grey = colour.mean(dim=1, keepdim=True)
    colourful = factor(0.2, 1.6) * (factor(0, 1) > _GREY_SHARE)
    colour = grey + turn_hues((colour - grey) * colourful, generator)
    colour = (colour - alpha / 2) * factor(0.5, 1.4) + alpha / 2
    return torch.cat([torch.minimum(colour.clamp(min=0), alpha), alpha], dim=1)


def blend_over(canvas: Tensor, layer: Tensor) -> Tensor:
    return canvas * (1 - layer[:, 3:]) + layer[:, :3]


def make_backgrounds(generator: torch.Generator, count: int) -> Tensor:
    cells = (1, 2, 3, 6, 12)[int(torch.randint(5, (1,), generator=generator))]
    colours = torch.rand(count, 3, cells, cells, generator=generator)
    size = (CROP_PX, CROP_PX)
    smooth = functional.interpolate(colours, size, mode="bicubic", align_corners=False)
    calm = sample_uniform(generator, count, 0.1, 0.8)[:, None, None, None]
    base = torch.rand(count, 3, 1, 1, generator=generator)
    return (smooth * calm + base * (1 - calm)).clamp(0, 1)


def _side_shift(generator: torch.Generator, count: int) -> tuple[Tensor, Tensor]:
    """Shifts, in half frames, away from the middle of the frame."""
    around = sample_uniform(generator, count, 0, 2 * math.pi)
    reach = sample_uniform(generator, count, 0.65, 1.2)
    return reach * torch.cos(around), reach * torch.sin(around)


def blur_some(images: Tensor, generator: torch.Generator) -> Tensor:
    """Blur two fifths of the batch, as if they were enlarged from small objects."""
    split = len(images) * 2 // 5
    side = int(torch.randint(24, 84, (1,), generator=generator))
    small = functional.interpolate(images[:split], (side, side), mode="area")
    back = functional.interpolate(small, (CROP_PX, CROP_PX), mode="bicubic", align_corners=False)
    return torch.cat([back.clamp(0, 1), images[split:]])


def _smooth_noise(generator: torch.Generator, count: int) -> Tensor:
    """(n, 1, CROP_PX, CROP_PX)."""
    cells = int(torch.randint(3, 9, (1,), generator=generator))
    noise = torch.randn(count, 1, cells, cells, generator=generator)
    size = (CROP_PX, CROP_PX)
    return functional.interpolate(noise, size, mode="bicubic", align_corners=False)


def _distort_mask(soft: Tensor, generator: torch.Generator) -> Tensor:
    """Soft masks, (n, 1, s, s), with parts missing and others added, as a segmenter's may have.

    A third of the masks stay as they are.
    """
    smooth = _smooth_noise(generator, len(soft))
    strength = sample_uniform(generator, len(soft), -0.3, 0.6).clamp(min=0)[:, None, None, None]
    return soft + strength * smooth


def merge_or_cut(visible: Tensor, neighbour: Tensor, generator: torch.Generator) -> Tensor:
    """Merge some masks with their neighbour's, and cut others off at a line.

    All (n, 1, s, s), 0 to 1.
    """
    count, draw = len(visible), generator
    joined = (torch.rand(count, generator=draw) < _JOINED_SHARE)[:, None, None, None]
    visible = torch.where(joined, torch.maximum(visible, neighbour), visible)
    angle = sample_uniform(draw, count, 0, 2 * math.pi)[:, None, None]
    beyond = sample_uniform(draw, count, 0.05, 0.6)[:, None, None]
    along = torch.linspace(-1, 1, CROP_PX)
    whole = along * torch.cos(angle) + along[:, None] * torch.sin(angle) < beyond
    uncut = (torch.rand(count, generator=draw) > _CUT_SHARE)[:, None, None]
    return visible * (whole | uncut)[:, None]


def training_crops(
    targets: Tensor, others: Tensor, generator: torch.Generator, vary: bool = True
) -> Tensor:
    """Compose crops of `targets`, float (n, 4, s, s), premultiplied RGBA 0..1.

    `others`, float (2n, 4, s, s), become neighbours and occluders. Most crops are cut out by the
    object's mask, as what clip_demo embeds is; the others show its surroundings. With `vary`,
    colours are varied and masks have mistakes. Returns float (n, 3, CROP_PX, CROP_PX),
    0..1.
    """
    count = len(targets)
    draw = generator
    flip = torch.where(torch.rand(count, generator=draw) < 0.5, -1.0, 1.0)
    angle = torch.randn(count, generator=draw) * 0.31
    shift = sample_uniform(draw, count, -0.12, 0.12), sample_uniform(draw, count, -0.12, 0.12)
    aspect = torch.exp(sample_uniform(draw, count, -0.25, 0.25))
    size = flip * sample_uniform(draw, count, 0.65, 1.0)
    bend = sample_bends(draw, count) if vary else 0
    target = place_sprites(targets, size, angle, shift, aspect, bend)
    target = restyle(target, draw) if vary else target

    behind, front = others[:count], others[count:]
    sizes = sample_uniform(draw, count, 0.3, 1.1), sample_uniform(draw, count, 0.3, 0.9)
    turn = sample_uniform(draw, count, -0.6, 0.6)
    neighbour = place_sprites(behind, sizes[0], turn, _side_shift(draw, count))
    neighbour = neighbour * (torch.rand(count, generator=draw) < 0.6)[:, None, None, None]
    occluder = place_sprites(front, sizes[1], -turn, _side_shift(draw, count))
    occluder = occluder * (torch.rand(count, generator=draw) < 0.35)[:, None, None, None]

    scene = make_backgrounds(draw, count)
    for layer in (neighbour, target, occluder):
        scene = blend_over(scene, layer)
    visible = target[:, 3:] * (1 - occluder[:, 3:])
    visible = merge_or_cut(visible, neighbour[:, 3:], draw) if vary else visible
    soft = functional.avg_pool2d(visible, 3, 1, 1)
    soft = _distort_mask(soft, draw) if vary else soft
    threshold = sample_uniform(draw, count, 0.2, 0.8)[:, None, None, None]
    return _photograph(scene, soft > threshold, draw)


def junk_crops(sprites: Tensor, generator: torch.Generator) -> Tensor:
    """Crops of no object: blobs of a background and enlarged scraps of objects.

    A segmenter finds those too. Sprites float (n, 4, s, s), premultiplied RGBA 0..1, of each of
    which a scrap is shown, or nothing. Returns float (n, 3, CROP_PX, CROP_PX), 0..1.
    """
    count, draw = len(sprites), generator
    shift = sample_uniform(draw, count, -1.0, 1.0), sample_uniform(draw, count, -1.0, 1.0)
    angle, zoom = torch.randn(count, generator=draw), sample_uniform(draw, count, 1.5, 3.5)
    scrap = restyle(place_sprites(sprites, zoom, angle, shift), draw)
    scrap = scrap * (torch.rand(count, generator=draw) < _SCRAP_SHARE)[:, None, None, None]
    scene = blend_over(make_backgrounds(draw, count), scrap)
    along = torch.linspace(-1, 1, CROP_PX)
    squeezed = torch.exp(sample_uniform(draw, count, -0.8, 0.8))[:, None, None]
    far = along.square() / squeezed + along.square()[:, None] * squeezed
    blob = (1.1 - far[:, None] + 0.7 * _smooth_noise(draw, count)) > 0.5
    # Half of the scraps end where their object does.
    within = (scrap[:, 3:] > 0.5) | (torch.rand(count, generator=draw) < 0.5)[:, None, None, None]
    has_scrap = scrap[:, 3:].amax(dim=(1, 2, 3), keepdim=True) > 0
    return _photograph(scene, blob & (within | ~has_scrap), draw)


def vary_found_crops(cut_out: Tensor, generator: torch.Generator) -> Tensor:
    """Turn and recolour what a segmenter found, float (n, 4, s, s), premultiplied RGBA 0..1.

    Returns float (n, 3, CROP_PX, CROP_PX), 0..1.
    """
    count, draw = len(cut_out), generator
    flip = torch.where(torch.rand(count, generator=draw) < 0.5, -1.0, 1.0)
    angle, scale = (
        torch.randn(count, generator=draw) * 0.15,
        sample_uniform(draw, count, 0.85, 1.05),
    )
    shift = sample_uniform(draw, count, -0.06, 0.06), sample_uniform(draw, count, -0.06, 0.06)
    aspect = torch.exp(sample_uniform(draw, count, -0.15, 0.15))
    turned = place_sprites(cut_out, flip * scale, angle, shift, aspect, sample_bends(draw, count))
    turned = restyle(turned, draw)
    ground = torch.tensor(CUTOUT_FILL)[None, :, None, None].expand(count, 3, CROP_PX, CROP_PX)
    return light_crops(blend_over(ground, turned), draw)


def _photograph(scene: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
    """Cut most scenes (n, 3, s, s) out by their mask, bool (n, 1, s, s); blur, light, grain all."""
    count = len(scene)
    fill = torch.tensor(CUTOUT_FILL)[None, :, None, None]
    as_cutout = torch.rand(count, generator=generator)[:, None, None, None] < _CUTOUT_SHARE
    return light_crops(blur_some(torch.where(mask | ~as_cutout, scene, fill), generator), generator)


def light_crops(crops: Tensor, generator: torch.Generator) -> Tensor:
    gain = sample_uniform(generator, len(crops), 0.75, 1.15)[:, None, None, None]
    noise = torch.randn(crops.shape, generator=generator) * 0.02
    return (crops * gain + noise).clamp(0, 1)
