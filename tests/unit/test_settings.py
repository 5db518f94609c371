"""Settings: every tunable is documented, limited and has a default within its limits."""

from __future__ import annotations

import msgspec
import pytest

from selchat.settings import ServerSettings, SettingRow, documentation

ROWS = documentation()


def row(name: str) -> SettingRow:
    return next(row for row in ROWS if row.name == name)


def test_every_setting_has_a_row_in_the_order_of_the_class() -> None:
    assert [row.name for row in ROWS] == list(ServerSettings.__struct_fields__)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_setting_says_on_one_line_what_it_is_and_what_it_takes(row: SettingRow) -> None:
    assert row.description.endswith(".")
    assert row.takes
    assert (row.description + row.takes + row.default).isprintable()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_default_is_within_the_limits(row: SettingRow) -> None:
    default = getattr(ServerSettings(), row.name)
    assert msgspec.convert(default, row.type) == default


def test_flags_and_variables_are_made_from_the_name() -> None:
    assert row("line_limit").flag == "--line-limit"
    assert row("line_limit").variable == "SELCHAT_LINE_LIMIT"


@pytest.mark.parametrize(
    ("name", "placeholder", "takes", "default"),
    [
        ("host", "HOST", "an address or a host name, such as 127.0.0.1 or ::1", "not set"),
        ("port", "N", "a whole number from 0 to 65535", "9000"),
        ("line_limit", "BYTES", "a whole number of bytes from 512 to 1073741824", "65536"),
        ("grace", "SECONDS", "a number of seconds from 0 to 31536000", "120"),
        ("token_lifetime", "SECONDS", "a number of seconds from 0 to 31536000", "86400"),
        ("log_level", "LEVEL", "one of debug, info, warning, error", "info"),
    ],
)
def test_what_a_setting_takes_is_said_with_its_unit_and_limits(
    name: str, placeholder: str, takes: str, default: str
) -> None:
    assert (row(name).placeholder, row(name).takes, row(name).default) == (
        placeholder,
        takes,
        default,
    )


def test_settings_do_not_change_once_made() -> None:
    with pytest.raises(AttributeError):
        ServerSettings().port = 1  # type: ignore[misc]
