import pytest
from pydantic import ValidationError

from app.settings import Settings, table


def test_every_setting_is_described() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


def test_the_table_names_every_setting() -> None:
    text = table()
    for name in Settings.model_fields:
        assert f"`TWINLENS_{name.upper()}`" in text
    assert str(Settings.model_fields["model_store"].default) not in text


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWINLENS_PORT", "9000")
    monkeypatch.setenv("TWINLENS_CACHE_BYTES", "0")
    monkeypatch.setenv("TWINLENS_DEFAULT_MODEL", "")
    settings = Settings()
    assert (settings.port, settings.cache_bytes, settings.default_model) == (9000, 0, None)


def test_limits_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValidationError, match="raise queue_images"):
        Settings(max_images=100, queue_images=50)
    with pytest.raises(ValidationError, match="raise queue_bytes"):
        Settings(queue_bytes=1_000_000)
