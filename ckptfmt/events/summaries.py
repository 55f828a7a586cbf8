"""Summaries other than numbers: histograms, images, audio and text.

TensorFlow 1 has a message for each. TensorFlow 2 writes tensors, and the name of the plugin tells them
apart::

    histograms   float[k, 3]: left edge, right edge and count of each bucket
    images       string[2 + n]: width and height in digits, then n encoded images
    audio        string[n, 2] or string[n]: an encoded clip, and its label
    text         string of any shape
"""

from __future__ import annotations

import io
import math
import re
import warnings
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np

from ckptfmt.arrays.decode import MAX_FILL_RATIO, to_array
from ckptfmt.errors import CorruptError, LimitError, MissingDependencyError, UnsupportedError
from ckptfmt.events.cards import MAX_MEDIA, audio_markup, histogram_card, image_markup, media_card
from ckptfmt.notebook.card import Card
from ckptfmt.notebook.page import to_html
from ckptfmt.proto import messages
from ckptfmt.text.printing import size_text

MAX_PIXELS = 1 << 28
"""Pixels of an image that are decoded by default: a few bytes can ask for any number of them."""

_FORMATS = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF8", "gif"),
    (b"BM", "bmp"),
    (b"RIFF", "webp"),
)
"""First bytes of images, and the name of each format."""

T = TypeVar("T", "Image", "Audio")


@dataclass(frozen=True, eq=False)
class Histogram:
    """The distribution of values over buckets."""

    left: np.ndarray
    """Left edge of each bucket (float64)."""
    right: np.ndarray
    """Right edge of each bucket."""
    counts: np.ndarray
    """Number of values in each bucket. A right edge belongs to the next bucket."""
    min: float
    """The smallest value. TensorFlow 2 stores neither it nor ``max``: they are the outer edges then."""
    max: float
    num: float
    """Number of values."""
    sum: float | None
    """Sum of the values; None if it is not stored, as in TensorFlow 2."""
    sum_squares: float | None

    def __repr__(self) -> str:
        span = f"from {self.min:g} to {self.max:g}"
        return f"<Histogram of {self.num:g} values in {len(self.counts)} buckets {span}>"

    def _card(self) -> Card:
        facts = (
            ("values", f"{self.num:g}"),
            ("buckets", len(self.counts)),
            ("least", f"{self.min:g}"),
            ("greatest", f"{self.max:g}"),
            ("sum", None if self.sum is None else f"{self.sum:g}"),
        )
        return histogram_card(self.left, self.right, self.counts, facts)

    def _repr_html_(self) -> str:
        return to_html(self._card)


@dataclass(frozen=True)
class Image:
    """An encoded image."""

    data: bytes
    """Its bytes, as a file would hold them."""
    format: str
    """``png``, ``jpeg``, ``gif``, ``bmp`` or ``webp``, judging by the first bytes; empty if unknown."""
    height: int
    """In pixels, according to the summary."""
    width: int
    channels: int | None
    """1 grey, 2 grey and alpha, 3 RGB, 4 RGBA; None if the summary does not say."""
    # The place of an image is not part of its value: two files may hold equal images.
    file: str | None = field(default=None, repr=False, compare=False)
    """The event file, which errors name; None if it was not read from one."""

    def decode(self, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
        """Return the pixels, ``[height, width]`` or ``[height, width, channels]``, through Pillow.

        The dtype is uint8, uint16 for grey images of 16 bits a pixel, and bool for those of one bit.

        Raises
        ------
        MissingDependencyError
            Pillow is not installed: ``ckptfmt[images]``.
        CorruptError
            The bytes are not an image that Pillow reads.
        LimitError
            The image has more pixels than ``max_pixels``, or than Pillow decodes: twice
            ``PIL.Image.MAX_IMAGE_PIXELS``, a setting of the whole process that is left alone.
        """
        try:
            from PIL import Image as Pillow
            from PIL import UnidentifiedImageError
        except ModuleNotFoundError:
            raise MissingDependencyError("Pillow", "images") from None
        try:
            with warnings.catch_warnings():
                # Pillow warns at half of what it refuses; the caller's limit counts here.
                warnings.simplefilter("ignore", Pillow.DecompressionBombWarning)
                with Pillow.open(io.BytesIO(self.data)) as image:
                    pixels = image.width * image.height
                    if pixels > max_pixels:
                        raise LimitError(
                            "pixels of the image", limit=max_pixels, asked=pixels, file=self.file
                        )
                    # As an array, such an image would be numbers of colours in its palette.
                    if image.mode == "P":
                        return np.asarray(image.convert("RGBA" if "transparency" in image.info else "RGB"))
                    return np.asarray(image)
        except LimitError:
            raise
        except Pillow.DecompressionBombError as error:
            # Pillow refuses while it opens the image, and has the number of pixels only in its message.
            limit = min(max_pixels, 2 * (Pillow.MAX_IMAGE_PIXELS or 0))
            found = re.search(r"\((\d+) pixels", str(error))
            asked = int(found[1]) if found else limit + 1
            raise LimitError("pixels of the image", limit=limit, asked=asked, file=self.file) from error
        except UnidentifiedImageError as error:  # its message has an address in memory
            raise CorruptError(f"image of {len(self.data)} bytes: unknown format", file=self.file) from error
        except Exception as error:  # its decoders raise almost anything
            raise CorruptError(f"image of {len(self.data)} bytes: {error}", file=self.file) from error

    def __repr__(self) -> str:
        size = f"{self.width} by {self.height}"
        return f"<Image {self.format or 'unknown'} {size}, {len(self.data)} bytes>"

    # A notebook shows a PNG or JPEG as it is, and the HTML of any other.

    def _repr_png_(self) -> bytes | None:
        return self.data if self._is_shown_as("png") else None

    def _repr_jpeg_(self) -> bytes | None:
        return self.data if self._is_shown_as("jpeg") else None

    def _repr_html_(self) -> str | None:
        return None if self._is_shown_as("png") or self._is_shown_as("jpeg") else to_html(self._card)

    def _is_shown_as(self, format: str) -> bool:  # noqa: A002  (the name of the field)
        return self.format == format and len(self.data) <= MAX_MEDIA

    def _card(self) -> Card:
        facts = (
            ("format", self.format or "unknown"),
            ("pixels", f"{self.width} by {self.height}"),
            ("size", size_text(len(self.data))),
        )
        if not self.format:
            return Card("Image", facts=facts)
        is_short = len(self.data) <= MAX_MEDIA
        return media_card(
            "Image", facts, image_markup(self.data, f"image/{self.format}") if is_short else None
        )


@dataclass(frozen=True)
class Audio:
    """An encoded clip."""

    data: bytes
    """Its bytes, as a file would hold them; usually WAV."""
    content_type: str
    """``audio/wav``, …; empty if unknown."""
    sample_rate: float | None
    """In Hertz; None if only the clip itself says it, as in TensorFlow 2."""
    num_channels: int | None
    length_frames: int | None
    label: str = ""
    """A description, in TensorFlow 2."""

    def __repr__(self) -> str:
        return f"<Audio {self.content_type} {len(self.data)} bytes>"

    def _card(self) -> Card:
        facts = (
            ("type", self.content_type or None),
            ("size", size_text(len(self.data))),
            ("rate", None if self.sample_rate is None else f"{self.sample_rate:g} Hz"),
            ("channels", self.num_channels),
            ("label", self.label or None),
        )
        is_short = len(self.data) <= MAX_MEDIA
        return media_card("Audio", facts, audio_markup(self.data, self.content_type) if is_short else None)

    def _repr_html_(self) -> str:
        return to_html(self._card)


class Media(tuple[T, ...], Generic[T]):
    """The images or clips of one step: a tuple that a notebook shows and plays."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return to_html(self._card)

    def _card(self) -> Card:
        kind = "Audio" if self and isinstance(self[0], Audio) else "Images"
        parts = [each._card()._replace(is_open=True) for each in self]
        return Card(kind, facts=[("at this step", len(self))], parts=parts)


def format_of(data: bytes) -> str:
    """Return the format of an encoded image; empty if it is unknown."""
    return next((name for magic, name in _FORMATS if data.startswith(magic)), "")


def text_of(data: Any) -> str:  # noqa: ANN401  (bytes, or a NumPy element of them)
    """Return bytes as text; those that are not UTF-8 are escaped with a backslash."""
    return bytes(data).decode("utf-8", "backslashreplace")


def histogram_of(value: messages.Summary.Value) -> Histogram:
    """Return the histogram in a value; CorruptError if it is not one."""
    if value.HasField("histo"):
        histo = value.histo
        right = np.array(histo.bucket_limit, np.float64)
        counts = np.array(histo.bucket, np.float64)
        if len(right) != len(counts):
            raise CorruptError(f"got {len(right)} limits, want as many as its {len(counts)} buckets")
        # Only right edges are stored, so the first bucket has everything up to its own.
        left = np.concatenate([[-np.inf], right[:-1]]) if len(right) else right
        return Histogram(left, right, counts, histo.min, histo.max, histo.num, histo.sum, histo.sum_squares)
    buckets = dense_array(value.tensor)
    if buckets.ndim != 2 or buckets.shape[1] != 3 or buckets.dtype.kind != "f":
        raise CorruptError(f"got {buckets.dtype}{list(buckets.shape)}, want numbers [k, 3]")
    left, right, counts = buckets.astype(np.float64).T
    low, high = (float(left[0]), float(right[-1])) if len(left) else (np.nan, np.nan)
    return Histogram(left, right, counts, low, high, float(counts.sum()), None, None)


def images_of(value: messages.Summary.Value, file: str) -> tuple[Image, ...]:
    """Return the images in a value of an event file; CorruptError if it holds none."""
    if value.HasField("image"):
        image = value.image
        data = image.encoded_image_string
        return Media(
            [Image(data, format_of(data), image.height, image.width, image.colorspace or None, file)]
        )
    strings = strings_of(value)
    if strings.ndim != 1 or len(strings) < 2:
        raise CorruptError(f"got strings {list(strings.shape)}, want width, height and images")
    try:
        width, height = int(strings[0]), int(strings[1])
    except ValueError as error:
        raise CorruptError("width and height are not numbers") from error
    return Media(Image(data, format_of(data), height, width, None, file) for data in strings[2:].tolist())


def audio_of(value: messages.Summary.Value) -> tuple[Audio, ...]:
    """Return the clips in a value; CorruptError if it holds none."""
    if value.HasField("audio"):
        clip = value.audio
        return Media(
            [
                Audio(
                    clip.encoded_audio_string,
                    clip.content_type,
                    clip.sample_rate,
                    clip.num_channels,
                    clip.length_frames,
                )
            ]
        )
    strings = strings_of(value)
    if strings.ndim == 1:
        strings = np.stack([strings, np.full(len(strings), b"", object)], axis=1)
    if strings.ndim != 2 or strings.shape[1] != 2:
        raise CorruptError(f"got strings {list(strings.shape)}, want clips and labels")
    return Media(
        Audio(data, "audio/wav" if data.startswith(b"RIFF") else "", None, None, None, text_of(label))
        for data, label in strings.tolist()
    )


def texts_of(value: messages.Summary.Value) -> np.ndarray:
    """Return the text in a value: an array of ``str`` objects in the shape of the tensor."""
    strings = strings_of(value)
    texts = np.empty(strings.shape, object)
    for index, data in np.ndenumerate(strings):
        texts[index] = text_of(data)
    return texts


def dense_array(tensor: messages.TensorProto) -> np.ndarray:
    """Return the array of a tensor whose elements are all looked at, one by one.

    Raises LimitError if repeating the last value gives more than :data:`MAX_FILL_RATIO` elements for each
    byte of the tensor. Programs store all elements of such tensors, but a few bytes can ask for any number.
    """
    # A negative size is an error of the shape's own.
    elements, stored = math.prod(dim.size for dim in tensor.tensor_shape.dim), tensor.ByteSize()
    if elements > MAX_FILL_RATIO * stored:
        what = f"elements of a tensor of {stored} bytes"
        raise LimitError(what, limit=MAX_FILL_RATIO * stored, asked=elements)
    array: np.ndarray = to_array(tensor)
    return array


def strings_of(value: messages.Summary.Value) -> np.ndarray:
    """Return the strings in a value (dtype object)."""
    if not value.HasField("tensor"):
        raise CorruptError("got no tensor, want one of strings")
    strings = dense_array(value.tensor)
    if not strings.dtype.hasobject or not all(isinstance(item, bytes) for item in strings.flat):
        raise UnsupportedError(f"got a tensor of {strings.dtype}, want one of strings")
    return strings
