"""Secrets of well-known forms are found wherever they stand, and what only speaks of them is left as it is."""

from __future__ import annotations

import json
import time

import pytest

from gateway.secrets_in_text import without_secrets

OUT = b"[redacted]"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA1234567890abcdef\nAAAA+/==\n-----END RSA PRIVATE KEY-----"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"

SECRETS = [
    ("password=hunter", "password=[redacted]"),
    ("DB_PASSWORD=hunter2; next", "DB_PASSWORD=[redacted]; next"),
    ("spring.datasource.password = correct-horse", "spring.datasource.password = [redacted]"),
    ("password: hunter2", "password: [redacted]"),
    ('password: "correct horse battery"', 'password: "[redacted]"'),
    ("{'passwd': 'correct horse'}", "{'passwd': '[redacted]'}"),
    ("export OPENAI_API_KEY=abcdef", "export OPENAI_API_KEY=[redacted]"),
    ("?api_key=abcdef&model=m", "?api_key=[redacted]&model=m"),
    ("x-api-key: abcdef12", "x-api-key: [redacted]"),
    ("apiKey: 'abc'", "apiKey: '[redacted]'"),
    ("client_secret := \"abc\"", "client_secret := \"[redacted]\""),
    ("mysql --password hunter2 -h db", "mysql --password [redacted] -h db"),
    ("tool --api-key='a b'", "tool --api-key='[redacted]'"),
    ("<password>hunter2</password>", "<password>[redacted]</password>"),
    ("Server=db;Uid=sa;Pwd=hunter2;", "Server=db;Uid=sa;Pwd=[redacted];"),
    ("AccountKey=abc123+/==;EndpointSuffix=x", "AccountKey=[redacted];EndpointSuffix=x"),
    ("token: 9f86d081884c7d659a2feaa0c55ad015", "token: [redacted]"),
    ("auth_token=9f86d081", "auth_token=[redacted]"),
    ('{"password": "pa\\"ss word"}', '{"password": "[redacted]"}'),
    ('{"authToken":"abc"}', '{"authToken":"[redacted]"}'),
    ("postgres://user:p%40ss@db/x", "postgres://user:[redacted]@db/x"),
    ("redis://:hunter2@cache:6379", "redis://:[redacted]@cache:6379"),
    ("Authorization: Bearer abcdefghijk", "Authorization: Bearer [redacted]"),
    ("curl -H 'authorization: token abcd'", "curl -H 'authorization: token [redacted]'"),
    ("sent Bearer abc123def456 to it", "sent Bearer [redacted] to it"),
    ("AKIAIOSFODNN7EXAMPLE and ASIAIOSFODNN7EXAMPLE", "[redacted] and [redacted]"),
    ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "aws_secret_access_key = [redacted]"),
    (f"got {TOKEN}.", "got [redacted]."),
    (f"jwt={TOKEN}", "jwt=[redacted]"),
    (f"a.{TOKEN}.abc.def", "a.[redacted]"),
    ("ghr_abcdefghijklmnopqrstuvwxyz", "[redacted]"),
    ("npm_abcdefghijklmnopqrstuvwxyz0123456789", "[redacted]"),
    (f"key:\n{PEM}\nend", "key:\n-----BEGIN RSA PRIVATE KEY-----[redacted]-----END RSA PRIVATE KEY-----\nend"),
    (json.dumps({"k": PEM}), '{"k": "-----BEGIN RSA PRIVATE KEY-----[redacted]-----END RSA PRIVATE KEY-----"}'),
    (PEM[:60] + '", "model": 1', '-----BEGIN RSA PRIVATE KEY-----[redacted]", "model": 1'),
]  # fmt: skip
READABLE = [
    "Enter your password: it must have 8 characters.",
    "Password: required",
    "The secret: be kind. The secret ingredient is 250g of butter.",
    "def login(user, password=None, token=None): ...",
    "password = get_password()",
    'api_key=os.environ["OPENAI_API_KEY"]',
    "client = OpenAI(api_key=API_KEY, base_url=url)",
    "password: str = field()",
    "api_key=${API_KEY} api_key={{ key }} api_key=<your key>",
    '{"token": "Hello", "logprob": -1, "max_tokens": 1000}',
    "max_tokens=1000000000000000000 prompt_tokens: 1234567890123456",
    "The next token: a unit of text, such as tokenization.",
    "tokenizer: Qwen2.5TokenizerFast-abcdefghijk",
    "see https://example.com:8080/path@x?y=a:b@c and mailto:ann@example.com",
    "git@github.com:org/repo.git at 12:30 ann@example.com",
    "-----BEGIN CERTIFICATE-----\nMIIB1234\n-----END CERTIFICATE-----",
    "a bearer of extraordinary news, and Basic understanding",
    "authorization: required for all; Authorization is not authentication.",
    "PWD=/opt/models pwd=~/x",
    "AKIA is a prefix, eyJ too, and -----BEGIN is no key",
    "if password == other: secret != thing",
    "--password -u ann",
    "<password></password> <secret>two words</secret>",
]


@pytest.mark.parametrize(("text", "shown"), SECRETS)
def test_a_secret_is_taken_out(text: str, shown: str) -> None:
    assert without_secrets(text.encode(), OUT).decode() == shown


@pytest.mark.parametrize(("text", "shown"), SECRETS)
def test_so_it_is_within_a_prompt_in_json(text: str, shown: str) -> None:
    body = json.dumps({"messages": [{"role": "user", "content": f"Why?\n{text}\nThanks."}]}).encode()
    secrets = [word for word in text.replace('"', " ").split() if word not in shown]
    cleaned = without_secrets(body, OUT)
    assert b"Why?" in cleaned
    assert b"Thanks." in cleaned or PEM[:60] in text
    assert json.loads(cleaned)
    for one in ("hunter2", "correct horse", "wJalr", "eyJzd", "MIIEp", "9f86d081", "abcdef12", "p%40ss"):
        assert one.encode() not in cleaned, secrets


@pytest.mark.parametrize("name", ["password=", "password: ", "pwd=", "--password ", "authorization: bearer "])
@pytest.mark.parametrize("length", [399, 400, 401, 4_095, 4_096, 5_000])
def test_of_a_long_secret_no_end_is_left_and_no_half_letter(name: str, length: int) -> None:
    text = f"{name}{'1' * (length % 2)}{'1é' * length}"
    assert without_secrets(f"{text} and more".encode(), OUT).decode() == f"{name}[redacted] and more"


@pytest.mark.parametrize("text", READABLE)
def test_what_only_speaks_of_secrets_stays(text: str) -> None:
    assert without_secrets(text.encode(), OUT).decode() == text


@pytest.mark.parametrize(
    "piece",
    [
        *(
            "password",
            "password=",
            "password: ",
            "password='",
            'password="',
            '"password":"',
            '"password":"\\',
            "secret",
        ),
        *("--password ", "--password", "<password>", "token", "token: a", "token:1", "pwd=", "://", "://a:", "://a:b"),
        *("authorization: bearer ", "authorization", "Bearer a", "AKIA"),
        *("eyJ", "-eyJ", "eyJaaaaaaaaaaa.", "eyJaaaaaaaaaaa.a"),
        *("-----BEGIN ", "-----BEGIN PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----a", "-----END ", "sk-", "_", "a"),
        *("\\", '"', "\\n", "api_key" + " " * 5, "api-key=" + "a" * 390 + "(", "eyJ" + "a" * 5000 + ".", " " * 100),
    ],
)
def test_no_text_takes_long(piece: str) -> None:
    body = (piece * (128_000 // len(piece))).encode()
    began = time.thread_time()
    without_secrets(body, OUT)
    assert time.thread_time() - began < 1.0
