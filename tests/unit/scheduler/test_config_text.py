from __future__ import annotations

import pytest

from scheduler.config_text import SettingsError, parse_settings, read_settings
from shaping.policy import Holding

REGION = '[[region]]\nname = "north"\nzone = "GB"\ngpus = 4\n[[feed]]\nkind = "uk_carbon"\nzones = ["GB"]\n'
LAUNCH = '[[launch]]\nname = "nightly"\ncron = "0 22 * * *"\nduration_s = "3h"\ncommand = ["train"]\nwithin_s = "12h"\n'


def problems(text: str, **environment: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        parse_settings(text, "s.toml", environment)
    return [str(one) for one in caught.value.problems]


def warnings(text: str, **environment: str) -> list[str]:
    return [str(one) for one in read_settings(text, "s.toml", environment).warnings]


def with_line(text: str, line: str) -> str:
    """`text` with `line` appended, in place of the line that sets the same key."""
    key = line.partition("=")[0]
    return "".join(f"{one}\n" for one in text.splitlines() if not one.startswith(key)) + line + "\n"


def test_an_empty_file_is_the_defaults() -> None:
    settings = parse_settings("", "s.toml", {})
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 8080)


def test_durations_and_powers_are_read_with_their_units() -> None:
    text = REGION + LAUNCH + 'power_w = "2.8kW"\n'
    (launch,) = parse_settings(text, "s.toml", {}).launch
    assert (launch.duration_s, launch.within_s, launch.power_w) == (10800.0, 43200.0, 2800.0)


def test_every_problem_is_told_at_once_with_its_place() -> None:
    text = '[server]\nport = 70000\n\n[shaping]\nmin_grup = 3\nflex_margin_s = "2 moons"\n'
    assert problems(text) == [
        "s.toml:2:1: port: should be less than or equal to 65535, got 70000",
        "s.toml:5:1: unknown key 'min_grup' in [shaping] (did you mean 'min_group'?)",
        "s.toml:6:1: flex_margin_s: '2 moons': 'moons' is no unit of time: use ms, s, m, h, d or w",
    ]


def test_a_key_that_is_missing_is_told_at_its_table() -> None:
    assert problems('[server]\n[[region]]\nname = "a"\nzone = "GB"\n[[region]]\nname = "b"\n') == [
        "s.toml:5:1: [[region]] needs zone"
    ]


def test_a_key_inside_an_inline_table_is_told_where_it_stands() -> None:
    assert problems(REGION + LAUNCH + "env = { GOOD = 'x', BAD = 1 }\n") == [
        "s.toml:14:21: env.BAD: should be a valid string, got 1"
    ]


def test_a_table_of_the_wrong_shape_is_told_how_to_write_it() -> None:
    assert problems("shaping = 3\nregion = 1\n") == [
        "s.toml:1:1: shaping must be a table (write [shaping] and its keys below)",
        "s.toml:2:1: region is a list of tables (write [[region]] for each)",
    ]


def test_text_that_is_no_toml_is_told_with_its_place() -> None:
    assert problems("[server]\nport = \n") == ["s.toml:2:8: is no TOML: Invalid value"]
    (unfinished,) = problems('[server]\nhost = """a')
    assert unfinished.startswith("s.toml:2:1: is no TOML: ")


def test_numbers_that_are_none_are_refused() -> None:
    assert problems("[shaping]\nflex_margin_s = inf\ninteractive_hold_s = nan\n") == [
        "s.toml:2:1: flex_margin_s: should be a finite number, got inf",
        "s.toml:3:1: interactive_hold_s: should be greater than or equal to 0, got nan",
    ]


# -- environment -----------------------------------------------------------------------------------------------------


def test_the_environment_overrides_the_file() -> None:
    settings = parse_settings("[server]\nport = 1\n", "s.toml", {"SLACKTIDE_SERVER__PORT": "9000", "HOME": "/"})
    assert settings.server.port == 9000


def test_a_list_in_the_environment_is_split_at_commas() -> None:
    keys = ["a" * 64, "b" * 64]
    settings = parse_settings("", "s.toml", {"SLACKTIDE_SERVER__KEYS_SHA256": ", ".join(keys)})
    assert settings.server.keys_sha256 == tuple(keys)


def test_a_wrong_value_in_the_environment_names_the_variable() -> None:
    (problem,) = problems("[server]\nport = 1\n", SLACKTIDE_SERVER__PORT="many")
    assert problem.startswith("SLACKTIDE_SERVER__PORT: port: should be a valid integer")


def test_a_variable_that_sets_nothing_is_an_error() -> None:
    assert problems("", SLACKTIDE_SERVER__PROT="1") == [
        "SLACKTIDE_SERVER__PROT: sets nothing (did you mean 'SLACKTIDE_SERVER__PORT'?)"
    ]


def test_variables_without_a_table_are_not_ours_to_judge() -> None:
    assert parse_settings("", "s.toml", {"SLACKTIDE_DATA": "somewhere"}).server.port == 8080


def test_origins_tell_the_file_from_the_environment() -> None:
    read = read_settings("[server]\nport = 1\nhost = '::1'\n", "s.toml", {"SLACKTIDE_SERVER__PORT": "2"})
    assert read.origins["server", "host"] == "s.toml:3:1"
    assert read.origins["server", "port"] == "SLACKTIDE_SERVER__PORT"
    assert ("server", "drain_s") not in read.origins


# -- between settings ------------------------------------------------------------------------------------------------


def test_a_sound_file_has_neither_problems_nor_warnings() -> None:
    assert warnings(REGION + LAUNCH) == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('regions = ["nord"]', "s.toml:14:12: no [[region]] is called 'nord' (did you mean 'north'?)"),
        ('finish_by = "06:00"', "s.toml:8:1: needs exactly one of within_s and finish_by"),
        ('within_s = "2h"', "s.toml:13:1: is shorter than duration_s: no run can be in time"),
        ("gpus = 8", "s.toml:14:1: wants 8 GPUs, and no region that it may run in has more than 4"),
        ('timezone = "Berlin"', "s.toml:14:1: no time zone 'Berlin' (IANA names, such as Europe/Berlin)"),
    ],
)
def test_a_launch_that_cannot_be_is_refused(line: str, expected: str) -> None:
    assert problems(REGION + with_line(LAUNCH, line)) == [expected]


@pytest.mark.parametrize("cron", ["0 25 * * *", "* * *", "", "0 0 * * someday"])
def test_a_cron_expression_that_never_fires_is_refused(cron: str) -> None:
    (problem,) = problems(REGION + with_line(LAUNCH, f'cron = "{cron}"'))
    assert f"{cron!r} is no cron expression" in problem


@pytest.mark.parametrize("cron", ["0 0 * * 1", "0 0 * * mon,5", "0 0 * * 1-5"])
def test_a_numbered_weekday_is_refused_because_it_would_be_a_guess(cron: str) -> None:
    (problem,) = problems(REGION + with_line(LAUNCH, f'cron = "{cron}"'))
    assert "numbers of weekdays mean different days" in problem


@pytest.mark.parametrize("cron", ["*/15 * * * *", "0 22 1-7 * mon", "0 0 * * mon-fri", "30 2 * * */2"])
def test_an_unambiguous_cron_expression_passes(cron: str) -> None:
    assert warnings(REGION + with_line(LAUNCH, f'cron = "{cron}"')) == []


@pytest.mark.parametrize("hour", ["24:00", "23:60", "99:99"])
def test_a_time_of_day_that_does_not_exist_is_refused(hour: str) -> None:
    without_end = LAUNCH.replace('within_s = "12h"\n', "")
    (problem,) = problems(REGION + without_end + f'finish_by = "{hour}"\n')
    assert f"{hour!r} is no time of day" in problem


def test_a_launch_needs_a_region_to_run_in() -> None:
    assert problems(LAUNCH) == ["s.toml:1:1: no [[region]] to run in (add one with name and zone)"]


@pytest.mark.parametrize(
    "url",
    [
        *("http://", "http://[::1:8000", "http://gpu1:99999", "http://gpu1:0", "http://gpu 1", "http://gpu1:8000 "),
        *("http://a..b", f"http://{'a' * 64}", "http://gpu1?x=1", "http://gpu1#x"),
    ],
)
def test_an_address_that_nobody_can_call_is_refused(url: str) -> None:
    worker = f'[[worker]]\nurl = "{url}"\nmodels = ["m"]\nregion = "north"\n'
    hint = "write scheme, host and port, such as http://gpu1:8000"
    assert problems(REGION + worker) == [f"s.toml:9:1: {url!r} is no address of a worker ({hint})"]


@pytest.mark.parametrize(
    "url", ["http://[::1]:8000", "https://u:p@gpu1/models/", "http://gpu_1.example:8000", "http://ü.example"]
)
def test_an_address_may_have_credentials_and_a_path(url: str) -> None:
    worker = f'[[worker]]\nurl = "{url}"\nmodels = ["m"]\nregion = "north"\n'
    assert not any("address" in one for one in warnings(REGION + worker))


def test_a_worker_is_named_without_the_v1_of_its_calls() -> None:
    worker = '[[worker]]\nurl = "http://gpu1:8000/v1/"\nmodels = ["m"]\nregion = "north"\n'
    assert any("would go to /v1/v1 (leave it out)" in one for one in warnings(REGION + worker))


def test_a_worker_names_a_region_that_exists() -> None:
    worker = '[[worker]]\nurl = "http://localhost:8000"\nmodels = ["m"]\nregion = "south"\n'
    assert problems(REGION + worker) == ["s.toml:11:1: no [[region]] is called 'south' (did you mean 'north'?)"]


def test_names_are_unique() -> None:
    assert problems(REGION + REGION + LAUNCH) == ["s.toml:9:1: another [[region]] has name 'north' already"]


@pytest.mark.parametrize(
    ("kind", "needed"),
    [("electricity_maps", ["token_env"]), ("watttime", ["user_env", "password_env"]), ("trace", ["file"])],
)
def test_a_feed_names_what_it_cannot_work_without(kind: str, needed: list[str]) -> None:
    assert problems(f'[[feed]]\nkind = "{kind}"\nzones = ["DE"]\n') == [
        f"s.toml:1:1: a feed of kind '{kind}' needs {key}" for key in needed
    ]


def test_average_and_marginal_feeds_cannot_stand_in_for_each_other() -> None:
    watttime = '[[feed]]\nkind = "watttime"\nuser_env = "U"\npassword_env = "P"\nzones = ["CAISO", "GB"]\n'
    (problem,) = problems(REGION + watttime)
    assert problem.startswith(
        "s.toml:12:19: zone 'GB' would mix average intensity (uk_carbon) with marginal (watttime)"
    )


def test_an_unknown_archetype_is_refused() -> None:
    (problem,) = problems('[[feed]]\nkind = "synthetic"\nzones = ["X"]\narchetype = "sola"\n')
    assert problem.endswith("(did you mean 'solar'?)")


def test_a_zone_without_a_feed_is_a_warning() -> None:
    (warning,) = warnings(REGION.replace('zones = ["GB"]', 'zones = ["GB-16"]'))
    assert warning.startswith("s.toml:3:1: no [[feed]] answers for zone 'GB'")


def test_a_credential_that_is_not_set_is_a_warning() -> None:
    feed = '[[feed]]\nkind = "electricity_maps"\ntoken_env = "EM"\nzones = ["DE"]\n'
    assert warnings(feed, EM="secret") == []
    assert warnings(feed) == ["s.toml:3:1: the environment variable EM is not set; this feed will be refused"]


def test_other_machines_reach_the_daemon_only_with_a_key() -> None:
    (warning,) = warnings('[server]\nhost = "0.0.0.0"\n')  # it may have made keys: the daemon knows when it starts
    assert "reachable from other machines" in warning
    key = "0" * 64
    assert parse_settings(f'[server]\nhost = "0.0.0.0"\nkeys_sha256 = ["{key}"]\n', "s.toml", {}).server.keys_sha256


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_key(host: str) -> None:
    assert parse_settings(f'[server]\nhost = "{host}"\n', "s.toml", {}).server.host == host


def test_a_key_that_is_no_hash_is_refused() -> None:
    assert problems('[server]\nkeys_sha256 = ["secret"]\n') == [
        "s.toml:2:16: is no SHA-256 in hexadecimal (64 digits: printf %s KEY | sha256sum)"
    ]


@pytest.mark.parametrize(("alone", "other"), [("tls_certificate", "tls_key"), ("tls_key", "tls_certificate")])
def test_a_certificate_and_its_key_come_together(alone: str, other: str) -> None:
    (said,) = problems(f'[server]\n{alone} = "a.pem"\n')
    assert said == f"s.toml:2:1: is set, but {other} is not (set {other} as well, or neither)"


def test_a_misspelled_placeholder_of_a_template_is_refused() -> None:
    good = '[[template]]\nname = "t"\ncommand = ["train", "--set={dataset}", "{\\"json\\": 1}"]\n'
    assert warnings(good) == []
    (problem,) = problems(good.replace("{dataset}", "{data-set}"))
    assert problem.startswith("s.toml:3:21: {data-set} is no placeholder")


@pytest.mark.parametrize("url", ["foo", "mysql://u:topsecret@h/db", "sqlite:///", "postgresql:db"])
def test_a_database_that_is_not_spoken_is_refused_without_repeating_its_address(url: str) -> None:
    [found] = problems(f'[server]\ndatabase_url = "{url}"\n')
    assert "is no address of SQLite or PostgreSQL" in found
    assert "topsecret" not in found


@pytest.mark.parametrize("url", ["", "sqlite:////var/lib/q.db", "postgresql+psycopg://u@h/db", "postgresql://h/db"])
def test_a_database_that_is_spoken_passes(url: str) -> None:
    assert parse_settings(f'[server]\ndatabase_url = "{url}"\n', "s.toml", {}).server.database_url == url


def test_the_devices_of_a_region_are_as_many_as_its_gpus() -> None:
    region = '[[region]]\nname = "a"\nzone = "GB"\ngpus = 2\ndevices = ["0", "0"]\n'
    assert problems(region) == ["s.toml:5:1: 1 different devices are named for 2 GPUs (name each GPU once, or none)"]


def test_a_start_command_needs_a_stop_command() -> None:
    text = '[[region]]\nname = "here"\nzone = "DE"\n[[worker]]\nurl = "http://w:1"\nmodels = ["m"]\nregion = "here"\n'
    (found,) = problems(text + 'start_command = ["systemctl", "start", "engine"]\n')
    assert "start_command and stop_command belong together" in found


def test_a_worker_of_several_models_does_not_sleep_and_says_so() -> None:
    text = (
        '[[region]]\nname = "here"\nzone = "DE"\n[[worker]]\nurl = "http://w:1"\nmodels = ["m", "n"]\nregion = "here"\n'
    )
    assert any("never put to sleep" in one for one in warnings("[consolidation]\nenabled = true\n" + text))


SHARED = (
    '[consolidation]\nenabled = true\n[[region]]\nname = "here"\nzone = "DE"\n'
    '[[worker]]\nurl = "http://w:1"\nmodels = ["m"]\nregion = "here"\nshares_gpu = "card"\n'
    '[[worker]]\nurl = "http://w:2"\nmodels = ["n"]\nregion = "here"\nshares_gpu = "card"\n'
)


@pytest.mark.parametrize(
    ("right", "wrong", "what"),
    [
        ("enabled = true", "enabled = false", "consolidation is off"),
        ('models = ["n"]', 'models = ["n", "o"]', "serves one model"),
        ('models = ["n"]', 'models = ["m"]', "is the only one that serves it"),
    ],
)
def test_workers_that_share_a_gpu_serve_a_model_each_and_need_consolidation(right: str, wrong: str, what: str) -> None:
    assert not any("shares_gpu" in one for one in warnings(SHARED))
    assert all(what in one for one in problems(SHARED.replace(right, wrong)))


def test_a_worker_that_shares_its_gpu_with_nobody_is_warned_of() -> None:
    (first, _) = [one for one in warnings(SHARED.replace('"card"', '"cart"', 1)) if "no other [[worker]]" in one]
    assert "did you mean 'card'?" in first


def test_the_shaping_table_is_the_shapers_policy() -> None:
    text = '[shaping]\npolicy = "adaptive"\ninteractive_hold_s = "2s"\nlatency_price_gco2e_per_h = 1.5\n'
    policy = parse_settings(text, "s.toml", {}).shaping.hold_policy
    assert policy.holding is Holding.ADAPTIVE
    assert (policy.interactive_hold_s, policy.latency_price_gco2e_per_h) == (2.0, 1.5)


def test_a_prefill_worker_needs_one_that_writes_and_a_decode_worker_one_that_reads() -> None:
    worker = '[[worker]]\nurl = "http://w:{n}"\nmodels = ["m"]\nregion = "here"\nrole = "{role}"\n'
    region = '[[region]]\nname = "here"\nzone = "DE"\n'
    reader, writer = worker.format(n=1, role="prefill"), worker.format(n=2, role="decode")
    (problem,) = problems(region + reader)
    assert "nobody writes what it reads" in problem
    assert any("nothing is handed over to it" in one for one in warnings(region + writer))
    assert not any("role" in one or "handed" in one for one in warnings(region + reader + writer))
