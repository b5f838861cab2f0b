from pathlib import Path

import pytest
from pydantic import ValidationError

from app.settings import Settings, SettingsError, likely_slips, read_settings, table
from tests.app.serving import REPOSITORY


def test_every_setting_is_described() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


def test_the_table_names_every_setting() -> None:
    text = table()
    for name in Settings.model_fields:
        assert f"`TWINLENS_{name.upper()}`" in text
    assert str(Settings.model_fields["model_store"].default) not in text


def test_the_readme_has_the_table_as_it_is() -> None:
    assert table() in (REPOSITORY / "README.md").read_text(encoding="utf-8")


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWINLENS_PORT", "9000")
    monkeypatch.setenv("TWINLENS_CACHE_BYTES", "0")
    monkeypatch.setenv("TWINLENS_DEFAULT_MODEL", "")
    settings = Settings()
    assert (settings.port, settings.cache_bytes, settings.default_model) == (9000, 0, None)


def test_a_user_without_a_home_has_to_name_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs as any number; only what asks for the default is told."""

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert "TWINLENS_ENGINE_CACHE is unset" in refusal(monkeypatch)
    assert "TWINLENS_ENGINE_CACHE" in table()
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert read_settings().engine_cache == Path("/cache/twinlens/engines")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("TWINLENS_ENGINE_CACHE", "/engines")
    assert read_settings().engine_cache == Path("/engines")


def test_limits_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValidationError, match="raise TWINLENS_QUEUE_IMAGES"):
        Settings(max_images=100, queue_images=50)
    with pytest.raises(ValidationError, match="raise TWINLENS_QUEUE_BYTES"):
        Settings(queue_bytes=1_000_000)


def refusal(monkeypatch: pytest.MonkeyPatch, **environment: str) -> str:
    """What is said of settings that cannot be."""
    for name, value in environment.items():
        monkeypatch.setenv(f"TWINLENS_{name}", value)
    with pytest.raises(SettingsError) as error:
        read_settings()
    return str(error.value)


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("DEFAULT_MODEL", "My Model", "lower-case"),
        ("CORS_ORIGINS", "https://shop.example, https://other.example/", "no path or slash"),
        ("CORS_ORIGINS", "shop.example", "https://shop.example"),
        ("OTLP_ENDPOINT", "collector:4318", "http://host:4318"),
        ("ENGINE", "tensorrt", "'openvino'"),
    ],
)
def test_what_cannot_work_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, advice: str
) -> None:
    said = refusal(monkeypatch, **{name: value})
    assert said.startswith(f"TWINLENS_{name}: ")
    assert advice in said


@pytest.mark.parametrize(
    "name", ["MODEL_STORE", "ENGINE_CACHE", "API_KEYS", "DEFAULT_MODEL", "HOST"]
)
def test_what_is_not_utf_8_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    # As Python has a folder's name in Latin-1.
    said = refusal(monkeypatch, **{name: "/mod\udce9les"})
    assert said.startswith(f"TWINLENS_{name}: must be in UTF-8")
    assert said.encode(), "it can be written anywhere"


def test_a_users_cache_that_is_not_utf_8_is_refused_as_the_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("TWINLENS_ENGINE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/andr\udce9/cache")
    assert refusal(monkeypatch).startswith("TWINLENS_ENGINE_CACHE: must be in UTF-8")


def test_what_contradicts_is_said_without_all_the_other_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = refusal(monkeypatch, MAX_IMAGES="300", HOST="10.1.2.3")
    assert said.startswith("TWINLENS_MAX_IMAGES (300)")
    assert "10.1.2.3" not in said


@pytest.mark.parametrize(
    "value",
    [
        "*",
        "https://a.example",
        "http://a:8080 , https://b",
        "http://a_b-c.xn--p1ai:443, https://127.0.0.1:80",
        "http://[::1]:3000",
        "https://a:4433",
        "https://[::443]",
    ],
)
def test_web_origins(value: str) -> None:
    assert Settings(cors_origins=value).cors_origins == value


@pytest.mark.parametrize(
    "value",
    [
        "https://*.shop.example",
        "https://Shop.Example",
        "HTTPS://shop.example",
        "https://shöp.example",
        "https://shop.example:443",
        "http://shop.example:80",
        "http://shop.example:",
        "http://shop.example:08080",
        "https://user@shop.example",
        "https://shop.example?x",
        "https://shop.example#x",
        "https://shop example",
        "https://::1",
        "https://",
        "null",
    ],
)
def test_what_no_browser_sends_as_its_origin_is_refused(value: str) -> None:
    with pytest.raises(ValidationError, match="as browsers send it"):
        Settings(cors_origins=f"https://a.example, {value}")


def test_a_mistyped_setting_is_noticed_and_what_belongs_to_others_is_not() -> None:
    (said,) = likely_slips(
        ["TWINLENS_MODEL_STOR", "TWINLENS_PORT", "TWINLENS_DATA", "PORT", "TWINLENS_REPLICAS"]
    )
    assert said.startswith("TWINLENS_MODEL_STOR is not a setting")
    assert "TWINLENS_MODEL_STORE" in said


@pytest.mark.parametrize(
    ("name", "bad", "least"),
    [
        ("queue_images", 1, 2),
        ("max_images", 1, 2),
        ("request_timeout", 0, 0.001),
        ("watchdog_seconds", 0, 0.001),
        ("slow_client_seconds", 0, 0.001),
        ("rate_limit", -1, 0),
        ("rate_limit", float("inf"), 0),
        ("rate_limit", float("nan"), 0),
        ("drain_seconds", -1, 0),
        ("cache_bytes", -1, 0),
        ("processes", 0, 1),
        ("port", 65_536, 65_535),
    ],
)
def test_what_is_out_of_range_is_refused(name: str, bad: float, least: float) -> None:
    with pytest.raises(ValidationError, match=name):
        Settings(**{"max_images": 2, name: bad})  # type: ignore[arg-type]
    assert getattr(Settings(**{"max_images": 2, name: least}), name) == least  # type: ignore[arg-type]


def test_limits_may_be_as_high_as_the_ones_above_them() -> None:
    settings = Settings(max_images=50, queue_images=50)
    assert settings.max_images == settings.queue_images
    mib = 1 << 20
    largest = {"queue_bytes": 8 * mib, "max_body_bytes": mib, "max_many_body_bytes": mib}
    for name in ("max_body_bytes", "max_many_body_bytes"):
        assert Settings(**{**largest, name: 8 * mib}).queue_bytes == 8 * mib  # type: ignore[arg-type]
        with pytest.raises(ValidationError, match="raise TWINLENS_QUEUE_BYTES"):
            Settings(**{**largest, name: 8 * mib + 1})  # type: ignore[arg-type]
