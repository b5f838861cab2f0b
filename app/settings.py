"""Every setting of the service, read from the environment as `TWINLENS_<NAME>`.

`python -m app.settings` prints them as a Markdown table.
"""

import difflib
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from model_store.errors import InvalidName, TwinlensError
from model_store.images import DEFAULT_MAX_PIXELS
from model_store.manifest import check_name
from model_store.shipped import SHIPPED

EngineName = Literal["auto", "torch", "openvino"]
PrecisionName = Literal["auto", "float32", "float16", "bfloat16", "int8"]

_PREFIX = "TWINLENS_"
_KIB = 1024
_MIB = 1024 * _KIB
_ORIGIN = re.compile(
    r"""\* | (?!http:.*:80$ | https:.*:443$)
    https?:// (?: [a-z0-9._-]+ | \[[0-9a-f:]+\] ) (?: :[1-9][0-9]{0,4} )?""",
    re.VERBOSE,
)
_ALIKE = 0.8


class SettingsError(TwinlensError):
    """A setting in the environment that cannot be."""


def _user_cache() -> Path:
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        raise SettingsError(
            "TWINLENS_ENGINE_CACHE is unset, and this user has no home folder for it; set it to "
            "a folder that this user may write to"
        ) from None


class Settings(BaseSettings):
    """What can be set, its default, and what it means.

    Raises:
        pydantic.ValidationError: A value is out of range, or two of them contradict each other.
        SettingsError: One is unset whose default cannot be told.
    """

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        protected_namespaces=(),
    )

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for all interfaces.")
    port: int = Field(8000, ge=0, le=65_535, description="Port to listen on; 0 for a free one.")

    api_keys: Path | None = Field(
        None,
        description="File of API keys (python -m app key create NAME --file FILE); unset: no key "
        "is asked for.",
    )
    rate_limit: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="Images a second that one API key may send; 0: no limit. Nothing without keys.",
    )
    cors_origins: str = Field(
        "",
        description="Web origins whose pages may call the service, such as https://shop.example, "
        "separated by commas; * for all; none by default.",
    )

    model_store: Path = Field(SHIPPED, description="Folder that holds the models.")
    default_model: str | None = Field(
        None,
        description="Model that answers where a request names none; unset: the store's default.",
    )
    store_poll_seconds: float = Field(
        5.0,
        ge=0,
        description="Seconds between looks for new models and versions; 0 for never once what is "
        "there at the start is loaded.",
    )

    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where networks run; auto takes CUDA if there is one."
    )
    engine: EngineName = Field(
        "auto",
        description="What runs networks: torch, or on the CPU openvino; auto: openvino where it "
        "can.",
    )
    precision: PrecisionName = Field(
        "auto",
        description="Number format networks are computed in: float32; on CUDA float16 or "
        "bfloat16; with openvino bfloat16 or int8. auto: half precision where it is much faster "
        "and agrees with float32; never int8.",
    )
    engine_cache: Path = Field(
        default_factory=lambda: _user_cache() / "twinlens" / "engines",
        description="Folder for networks converted to an engine's form; made anew if it is lost. "
        "Of more than 2 GiB, those go that no start has used for a day, the longest unused first.",
    )
    compute_threads: int = Field(
        0, ge=0, le=1024, description="CPU threads for a network; 0: one for each CPU."
    )
    processes: int = Field(
        1,
        ge=1,
        le=256,
        description="Processes that receive and decode, for machines whose device is faster than "
        "one interpreter; with more than one, a further process computes for all of them.",
    )
    decode_threads: int = Field(
        0, ge=0, le=1024, description="Threads that decode images; 0: one for each CPU."
    )
    max_batch: int = Field(
        0,
        ge=0,
        le=1024,
        description="Most images in a batch; 0: 256 on CUDA, 8 on the CPU, or one a core if more.",
    )
    cache_bytes: int = Field(
        64 * _MIB, ge=0, description="Memory for embeddings of images seen before; 0 for none."
    )

    max_body_bytes: int = Field(
        32 * _MIB, ge=_KIB, description="Largest request body, except for /compare/many."
    )
    max_many_body_bytes: int = Field(
        256 * _MIB,
        ge=_KIB,
        description="Largest request body for /compare/many. JSON is parsed while all other "
        "requests wait, some 3 ms for each MB; multipart bodies hold up nobody.",
    )
    max_image_bytes: int = Field(16 * _MIB, ge=_KIB, description="Largest encoded image.")
    max_pixels: int = Field(
        DEFAULT_MAX_PIXELS, ge=1, description="Most pixels an image may declare."
    )
    max_images: int = Field(64, ge=2, le=100_000, description="Most images in one request.")
    max_candidates: int = Field(
        100_000, ge=1, description="Most candidate embeddings in one request to /compare/many."
    )

    queue_images: int = Field(
        256,
        ge=2,
        description="Most images queued or in progress; further requests are answered 429.",
    )
    queue_bytes: int = Field(
        512 * _MIB,
        ge=_KIB,
        description="Most bytes of request bodies being read or in work at once, and of answers "
        "to them that are not sent yet; what comes on top is answered 429.",
    )
    request_timeout: float = Field(
        30.0,
        gt=0,
        le=86_400,
        description="Seconds a request may take; the X-Request-Timeout header can shorten it.",
    )
    watchdog_seconds: float = Field(
        60.0,
        gt=0,
        description="Seconds one call of an engine may take; one that takes longer has hung, and "
        "the engine is rebuilt. Where every decoding thread is longer at one image, the process "
        "ends.",
    )
    slow_client_seconds: float = Field(
        10.0,
        gt=0,
        le=3600,
        description="Seconds a client may take to send a request's headers, to read on in an "
        "answer, or to end a body that was already answered.",
    )
    drain_seconds: float = Field(
        25.0, ge=0, description="Seconds that SIGTERM leaves to the requests accepted before it."
    )
    otlp_endpoint: str = Field(
        "",
        description="Where traces go by OTLP over HTTP, such as http://host:4318/v1/traces; needs "
        "the extra `tracing`.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Lowest severity logged; info has a line for each request."
    )

    @field_validator("*", mode="before")
    @classmethod
    def _in_utf_8(cls, value: object) -> object:
        # Else answers and the log, which name stores and files, could not be written.
        try:
            if isinstance(value, str | Path):
                str(value).encode()
        except UnicodeEncodeError:
            raise ValueError(
                "must be in UTF-8, which this is not; rename what it names, or set another"
            ) from None
        return value

    @field_validator("default_model")
    @classmethod
    def _a_name(cls, value: str | None) -> str | None:
        try:
            return None if value is None else check_name(value)
        except InvalidName as error:
            raise ValueError(str(error)) from error

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: str) -> str:
        for origin in filter(None, map(str.strip, value.split(","))):
            # Origins are compared as text: one that no browser sends would match nothing.
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"'{origin}' is not a web origin as browsers send it; write scheme and host in "
                    "lower case, others than ASCII as xn--…, a port only if it is not the scheme's "
                    "own, and no path or slash after them, such as https://shop.example"
                )
        return value

    @field_validator("otlp_endpoint")
    @classmethod
    def _endpoint(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("must be a URL, such as http://host:4318/v1/traces")
        return value

    @model_validator(mode="after")
    def _limits_agree(self) -> Self:
        if self.max_images > self.queue_images:
            raise ValueError(
                f"TWINLENS_MAX_IMAGES ({self.max_images}) is over TWINLENS_QUEUE_IMAGES "
                f"({self.queue_images}), so that a full request could never be admitted; raise "
                "TWINLENS_QUEUE_IMAGES"
            )
        largest = max(self.max_body_bytes, self.max_many_body_bytes)
        if largest > self.queue_bytes:
            raise ValueError(
                f"TWINLENS_QUEUE_BYTES ({self.queue_bytes}) is under the largest body allowed "
                f"({largest}), which could then never be admitted; raise TWINLENS_QUEUE_BYTES, or "
                "lower TWINLENS_MAX_BODY_BYTES and TWINLENS_MAX_MANY_BODY_BYTES"
            )
        return self


def read_settings() -> Settings:
    """The settings in the environment.

    Raises:
        SettingsError: Some are wrong; the message has a line for each.
    """
    try:
        return Settings()
    except ValidationError as error:
        lines = []
        for part in error.errors():
            message = part["msg"].removeprefix("Value error, ")
            # What is wrong with several settings together names them itself.
            if part["loc"]:
                name = _PREFIX + "_".join(map(str, part["loc"])).upper()
                message = f"{name}: {message} (given: {part['input']!r})"
            lines.append(message)
        raise SettingsError("\nerror: ".join(lines)) from error


def likely_slips(names: Iterable[str]) -> list[str]:
    """What to say of environment variables that look like a setting's name, mistyped.

    Args:
        names: Of the environment's variables; those that are alike to no setting are others' own.
    """
    known = [_PREFIX + name.upper() for name in Settings.model_fields]
    said = []
    for name in sorted(set(names) - set(known)):
        alike = difflib.get_close_matches(name, known, 1, _ALIKE)
        if name.startswith(_PREFIX) and alike:
            said.append(f"{name} is not a setting and changes nothing; {alike[0]} is one")
    return said


def table() -> str:
    """All settings as a Markdown table: name, default, meaning."""
    lines = ["| Setting | Default | Meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = field.default
        if name == "model_store":
            shown = "the store that ships"
        elif name == "engine_cache":
            shown = "in the user's cache folder"
        else:
            shown = "unset" if default in (None, "") else f"`{default}`"
        lines.append(f"| `{_PREFIX}{name.upper()}` | {shown} | {field.description} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(table())
