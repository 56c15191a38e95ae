from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from gsc_trio.config import Settings, setting_range, setting_type
from gsc_trio.config_sources import PROFILES, environment_variable, load_settings
from gsc_trio.errors import UsageError

RANGED_SETTINGS = [
    field.name for field in attrs.fields(Settings) if field.metadata["minimum"] is not None
]


@pytest.fixture
def settings_file(tmp_path: Path) -> Path:
    return tmp_path / "settings.toml"


def load(environment: dict[str, str] | None = None, **arguments: Any) -> Settings:
    return load_settings(environment=environment or {}, **arguments)


def usage_error(environment: dict[str, str] | None = None, **arguments: Any) -> str:
    with pytest.raises(UsageError) as raised:
        load(environment, **arguments)
    return str(raised.value)


def test_the_defaults_are_those_of_the_design() -> None:
    settings = load()
    assert (settings.max_concurrency, settings.batch_size, settings.max_queue_size) == (3, 50, 1000)
    assert (settings.max_in_flight, settings.in_flight_limit) == (None, 300)
    assert settings.queries_per_minute == 1_200
    assert settings.access_token is None


def test_each_source_wins_over_those_before_it(settings_file: Path) -> None:
    settings_file.write_text("max_concurrency = 5\nbatch_size = 6\nretry_budget = 7\n")
    environment = {"GSC_TRIO_BATCH_SIZE": "16", "GSC_TRIO_RETRY_BUDGET": "17"}
    settings = load(environment, profile="dev", config_file=settings_file, retry_budget=27)
    assert settings.max_concurrency == 5  # the file over the profile's 2
    assert settings.batch_size == 16  # the environment over the file
    assert settings.retry_budget == 27  # the flag over all
    assert settings.max_queue_size == 1_000  # nobody said anything


def test_a_flag_that_was_not_given_overrides_nothing() -> None:
    assert load({"GSC_TRIO_BATCH_SIZE": "7"}, batch_size=None).batch_size == 7


def test_an_empty_variable_counts_as_not_given() -> None:
    assert load({"GSC_TRIO_BATCH_SIZE": ""}).batch_size == 50


@pytest.mark.parametrize(
    ("profile", "concurrency"), [("dev", 2), ("prod", 3), ("sequential", 1), (None, 3)]
)
def test_profiles(profile: str | None, concurrency: int) -> None:
    assert load(profile=profile).max_concurrency == concurrency


def test_a_profile_comes_from_the_flag_then_the_environment_then_the_file(
    settings_file: Path,
) -> None:
    settings_file.write_text('profile = "dev"\n')
    in_environment = {
        "GSC_TRIO_CONFIG": str(settings_file),
        "GSC_TRIO_PROFILE": "sequential",
    }
    assert load(in_environment, profile="prod").max_concurrency == 3
    assert load(in_environment).max_concurrency == 1
    assert load({"GSC_TRIO_CONFIG": str(settings_file)}).max_concurrency == 2


@pytest.mark.parametrize("source", ["flag", "environment", "file"])
def test_an_unknown_profile_is_refused_with_the_known_ones(
    source: str, settings_file: Path
) -> None:
    settings_file.write_text('profile = "fast"\n')
    message = {
        "flag": lambda: usage_error(profile="fast"),
        "environment": lambda: usage_error({"GSC_TRIO_PROFILE": "fast"}),
        "file": lambda: usage_error(config_file=settings_file),
    }[source]()
    assert message == f"unknown profile 'fast': use one of {', '.join(PROFILES)}"


@pytest.mark.parametrize("name", RANGED_SETTINGS)
@pytest.mark.parametrize("end", ["minimum", "maximum"])
def test_every_range_includes_its_ends_and_nothing_beyond(name: str, end: str) -> None:
    bound = attrs.fields_dict(Settings)[name].metadata[end]
    beyond = bound - 1 if end == "minimum" else bound + 1
    assert getattr(Settings(**{name: bound}), name) == bound
    with pytest.raises(UsageError) as raised:
        Settings(**{name: beyond})
    assert str(raised.value).startswith(f"{name} is ")
    assert str(raised.value).endswith(f"from {setting_range(name)}")


def test_ranges_are_written_out_in_full() -> None:
    assert setting_range("max_queue_size") == "1 to 1,000,000"
    assert setting_range("connect_timeout_seconds") == "0.001 to 3,600"
    assert setting_range("api_root") == ""


@pytest.mark.parametrize("name", [field.name for field in attrs.fields(Settings)])
def test_every_setting_is_read_from_its_variable(name: str) -> None:
    texts: dict[type, tuple[str, object]] = {
        int: ("7", 7),
        float: (" 7.5", 7.5),
        str: (" a text", "a text"),
    }
    by_name = {
        "api_root": ("http://127.0.0.1:8765", "http://127.0.0.1:8765"),
        "batch_path": ("/batch/v1", "/batch/v1"),
        "access_token": ("ya29.token\n", "ya29.token"),
    }
    text, value = by_name.get(name) or texts[setting_type(name)]
    assert getattr(load({environment_variable(name): text}), name) == value


def test_a_message_names_the_source(settings_file: Path) -> None:
    settings_file.write_text("batch_size = 0\n")
    expected = "use a whole number from 1 to 1,000"
    assert (
        usage_error(config_file=settings_file)
        == f"batch_size in {settings_file}, line 1 is 0: {expected}"
    )
    assert (
        usage_error({"GSC_TRIO_BATCH_SIZE": "5000"}) == f"GSC_TRIO_BATCH_SIZE is 5,000: {expected}"
    )
    assert usage_error(batch_size=-1) == f"batch_size is -1: {expected}"


@pytest.mark.parametrize("text", ["three", "3.5", "1e3", "0x10", "nan", "9" * 5_000])
def test_a_variable_must_be_a_whole_number(text: str) -> None:
    assert "use a whole number from 1 to 100" in usage_error({"GSC_TRIO_MAX_CONCURRENCY": text})


@pytest.mark.parametrize("text", ["soon", "nan", "inf", "-inf"])
def test_a_variable_must_be_a_finite_number(text: str) -> None:
    message = usage_error({"GSC_TRIO_GRACE_SECONDS": text})
    assert "use a number from 0 to 3,600" in message


@pytest.mark.parametrize("text", ["true", '"3"', "2.0", "[3]", "2024-01-01"])
def test_a_file_must_have_the_right_types(text: str, settings_file: Path) -> None:
    settings_file.write_text(f"max_concurrency = {text}\n")
    assert "use a whole number from 1 to 100" in usage_error(config_file=settings_file)


def test_concurrency_may_be_auto_from_every_source(settings_file: Path) -> None:
    settings_file.write_text('max_concurrency = "auto"\n')
    for settings in (
        load(config_file=settings_file),
        load({"GSC_TRIO_MAX_CONCURRENCY": " auto "}),
        load(max_concurrency="auto"),
    ):
        assert settings.max_concurrency == "auto"
        assert (settings.initial_concurrency, settings.in_flight_limit) == (3, 300)
    assert setting_range("max_concurrency") == "1 to 100, or auto"


@pytest.mark.parametrize("text", ["Auto", "automatic", "1 to 3"])
def test_no_other_word_is_a_concurrency(text: str) -> None:
    message = usage_error({"GSC_TRIO_MAX_CONCURRENCY": text})
    assert message.endswith("use a whole number from 1 to 100, or auto")
    with pytest.raises(UsageError, match=r"use a whole number from 1 to 1,000$"):
        Settings(batch_size="auto")  # type: ignore[arg-type]


def test_a_file_may_write_whole_numbers_where_fractions_are_allowed(settings_file: Path) -> None:
    settings_file.write_text("grace_seconds = 5\n")
    assert load(config_file=settings_file).grace_seconds == 5.0


@pytest.mark.parametrize("text", ["true", '"4"'])
def test_a_file_must_not_write_something_else_there(text: str, settings_file: Path) -> None:
    settings_file.write_text(f"grace_seconds = {text}\n")
    assert "use a number from 0 to 3,600" in usage_error(config_file=settings_file)


@pytest.mark.parametrize(
    ("name", "value"), [("max_concurrency", 2.5), ("max_concurrency", None), ("api_root", 3)]
)
def test_keyword_arguments_must_have_the_right_types(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=f"^{name} is {value}: use "):
        Settings(**{name: value})


def test_an_unknown_setting_in_a_file_is_refused_with_a_suggestion(settings_file: Path) -> None:
    settings_file.write_text("max_concurency = 1\n")
    assert usage_error(config_file=settings_file) == (
        f"{settings_file}, line 1: unknown setting 'max_concurency': did you mean max_concurrency?"
    )
    settings_file.write_text("[client]\ntimeout = 1\n")
    assert "there are profile, max_concurrency, " in usage_error(config_file=settings_file)


def test_an_unknown_variable_is_refused_with_a_suggestion() -> None:
    # A mis-spelt rollback must not pass for one.
    assert usage_error({"GSC_TRIO_MAX_CONCURENCY": "1"}) == (
        "unknown variable GSC_TRIO_MAX_CONCURENCY: did you mean GSC_TRIO_MAX_CONCURRENCY?"
    )


def test_variables_of_other_programs_are_left_alone() -> None:
    assert load({"GSC_TRIOLOGY": "1", "MAX_CONCURRENCY": "9"}) == Settings()


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    missing = tmp_path / "missing.toml"
    expected = f"cannot read the settings file {missing}: No such file or directory"
    assert usage_error(config_file=missing) == expected
    assert usage_error({"GSC_TRIO_CONFIG": str(missing)}) == expected
    assert usage_error(config_file=tmp_path).endswith("Is a directory")


@pytest.mark.parametrize("content", [b"max_concurrency = ", b"\xff\xfe", b"a\x00b"])
def test_a_file_that_is_no_toml_is_refused(content: bytes, settings_file: Path) -> None:
    settings_file.write_bytes(content)
    message = usage_error(config_file=settings_file)
    assert message.startswith(f"the settings file {settings_file} is not valid TOML: ")


def test_a_profile_that_is_no_text_is_refused(settings_file: Path) -> None:
    settings_file.write_text("profile = 3\n")
    assert usage_error(config_file=settings_file).endswith("is 3: it must be a string")


@pytest.mark.parametrize(
    "address",
    [
        "",
        "searchconsole.googleapis.com",
        "ftp://example.com",
        "http://",
        "http://[::1",
        "http://localhost:port",
        "http://localhost:99999",
        "http://localhost/?key=1",
    ],
)
def test_an_address_must_be_one_of_the_web(address: str) -> None:
    with pytest.raises(UsageError, match=r"^api_root is .*begins with https:// or http://"):
        Settings(api_root=address)


def test_a_batch_path_must_be_absolute() -> None:
    with pytest.raises(UsageError, match=r"^batch_path is 'batch': begin it with /"):
        Settings(batch_path="batch")


@pytest.mark.parametrize("token", ["two words", "two\nlines", "tökén", ""])
def test_an_access_token_that_no_header_can_carry_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(UsageError, match=r"^access_token is no access token: ") as raised:
        Settings(access_token=token)
    assert not token or token not in str(raised.value)


def test_secrets_are_never_shown(settings_file: Path) -> None:
    assert "s3cret" not in repr(Settings(access_token="s3cret"))
    settings_file.write_text("access_token = 987\n")
    assert "987" not in usage_error(config_file=settings_file)
    with pytest.raises(UsageError) as raised:
        Settings(api_root="https://user:s3cret@example.com")
    assert "s3cret" not in str(raised.value)


def test_every_setting_has_a_text_that_says_its_unit() -> None:
    for field in attrs.fields(Settings):
        assert field.metadata["help"].endswith("."), field.name
        if setting_type(field.name) is float:
            assert field.name.endswith("_seconds")
