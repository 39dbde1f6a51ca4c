"""Every setting, read once from the environment; the README's table explains each.

Both planes, the command line and the tests share this module. `GATEWAY_PLANE` is not a setting: `manage.py serve`
tells its two child processes by it which plane they are.
"""

import os
import re
import secrets
from pathlib import Path

from cryptography.fernet import Fernet, MultiFernet
from django.core.exceptions import ImproperlyConfigured

from gateway.address_settings import origin_of
from gateway.environment import Environment
from gateway.serving.local_files import read_or_create

BASE_DIR = Path(__file__).resolve().parent.parent
env = Environment()

PLANE = os.environ.get("GATEWAY_PLANE", "")
if PLANE != "relay":  # `ModelAdmin[Upstream]` shall mean at run time what it means to the type checker
    import django_stubs_ext

    django_stubs_ext.monkeypatch()

# --- Data and database -------------------------------------------------------------------------------------------

DATA_DIR = Path(env.text("GATEWAY_DATA_DIR", default=str(BASE_DIR / "var"))).resolve()
DATABASES = {"default": env.database("DATABASE_URL", default=f"sqlite:///{DATA_DIR / 'db.sqlite3'}")}
EMBEDDED = DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3"
DATABASE_POOL_SIZE = env.whole("DATABASE_POOL_SIZE", default=8, least=0, most=1000)
if EMBEDDED:
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
    }
elif DATABASE_POOL_SIZE:
    # A kept connection would be one for each greenlet for ever; a pool bounds them, and gives them back. While the
    # database is away it must neither hold calls up for long nor wait longer and longer before it tries again.
    DATABASES["default"]["OPTIONS"] = {
        "tcp_user_timeout": 5_000,  # milliseconds: no call waits for a quarter of an hour when the network is cut
        **DATABASES["default"].get("OPTIONS", {}),  # type: ignore[dict-item]
        "pool": {"min_size": 1, "max_size": DATABASE_POOL_SIZE, "timeout": 2, "reconnect_timeout": 1},
    }
    # The relay bears a connection that turns out to be dead; a person or a program should not see it.
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = PLANE != "relay"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"


# --- Secrets -----------------------------------------------------------------------------------------------------


def _secret(name: str, file_name: str, command: str, *aliases: str) -> str:
    """A secret from the environment, or, with the embedded database, from a file that is made when missing."""
    given = env.text(name, *aliases)
    if given:
        return given
    if not EMBEDDED:
        raise ImproperlyConfigured(f"{name} must be set when PostgreSQL is used; make one with: {command}")
    makers = {"encryption_keys": lambda: Fernet.generate_key().decode(), "master_key": new_master_key}
    env.note_generated(name, DATA_DIR / file_name)
    try:
        kept = read_or_create(DATA_DIR / file_name, makers.get(file_name, lambda: secrets.token_urlsafe(50)))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise ImproperlyConfigured(
            f"GATEWAY_DATA_DIR is {DATA_DIR}, where {file_name} cannot be kept: {reason}."
        ) from error
    if not kept:  # a new one in its place would make what the old one has encrypted or signed unreadable
        raise ImproperlyConfigured(
            f"{DATA_DIR / file_name} is empty; put back what it held, or remove it to have another made."
        )
    return kept


def new_master_key() -> str:
    """A master key of 256 bits."""
    return f"sk-master-{secrets.token_urlsafe(32)}"


_RANDOM = "python -c 'import secrets; print(secrets.token_urlsafe(50))'"
_RANDOM_MASTER = """python -c 'import secrets; print("sk-master-" + secrets.token_urlsafe(32))'"""
_RANDOM_FERNET = "python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'"

SECRET_KEY = _secret("SECRET_KEY", "secret_key", _RANDOM)
ENCRYPTION_KEYS = [
    key.strip()
    for key in _secret("GATEWAY_ENCRYPTION_KEYS", "encryption_keys", _RANDOM_FERNET).split(",")
    if key.strip()
]
try:
    MultiFernet([Fernet(key) for key in ENCRYPTION_KEYS])
except ValueError as _error:  # of a key that is none, or of none at all
    raise ImproperlyConfigured(
        "GATEWAY_ENCRYPTION_KEYS must be Fernet keys separated by commas, newest first; "
        f"make one with: {_RANDOM_FERNET}"
    ) from _error

MASTER_KEY_NAMES = ("GATEWAY_MASTER_KEY", "LITELLM_MASTER_KEY", "DHEERA_AI_MASTER_KEY")
MASTER_KEY = _secret(MASTER_KEY_NAMES[0], "master_key", _RANDOM_MASTER, *MASTER_KEY_NAMES[1:])
MASTER_KEY_FILE = None if env.text(*MASTER_KEY_NAMES) else DATA_DIR / "master_key"
if not re.fullmatch("[!-~]+", MASTER_KEY):  # clients disagree on how other characters are sent in a header
    raise ImproperlyConfigured(
        f"{env.variable(MASTER_KEY_NAMES[0])} must be visible ASCII characters without spaces; "
        f"make one with: {_RANDOM_MASTER}"
    )
ALLOW_WEAK_MASTER_KEY = env.flag("GATEWAY_ALLOW_WEAK_MASTER_KEY", default=False)
if not ALLOW_WEAK_MASTER_KEY and (len(MASTER_KEY) < 20 or len(set(MASTER_KEY)) < 8):
    raise ImproperlyConfigured(
        "GATEWAY_MASTER_KEY is too weak (under 20 characters, or hardly varied); make one with: "
        f"{_RANDOM_MASTER} or set GATEWAY_ALLOW_WEAK_MASTER_KEY=true for a trial."
    )

# --- Addresses ---------------------------------------------------------------------------------------------------

HOST = env.text("HOST", default="0.0.0.0")  # noqa: S104 - a gateway is there to be reached
PORT = env.whole("PORT", default=4000, least=1, most=65535)
RELAY_WORKERS = env.whole("WEB_CONCURRENCY", default=1, least=1, most=64)
CONTROL_ADDRESS = env.meeting_place("GATEWAY_CONTROL_ADDRESS")
PUBLIC_URL = env.web_address("GATEWAY_PUBLIC_URL")
ALLOWED_HOSTS = env.host_names("ALLOWED_HOSTS", default=["*"])
CSRF_TRUSTED_ORIGINS = env.origins("CSRF_TRUSTED_ORIGINS", default=[origin_of(PUBLIC_URL)] if PUBLIC_URL else [])
TRUSTED_PROXIES = env.networks("GATEWAY_TRUSTED_PROXIES")

# --- Who may call, and what ----------------------------------------------------------------------------------------

REQUIRE_KEYS = env.flag("GATEWAY_REQUIRE_KEYS", default=True)
UPSTREAM_BASE = env.web_address("HOSTED_VLLM_API_BASE", "VLLM_API_BASE")
UPSTREAM_BASE_FALLBACK = "http://localhost:8000"
UPSTREAM_CREDENTIAL = env.text("HOSTED_VLLM_API_KEY", "VLLM_API_KEY")
# What a sentence about them names.
UPSTREAM_VARIABLES = env.variable("HOSTED_VLLM_API_BASE"), env.variable("HOSTED_VLLM_API_KEY")
ADMIN_USERNAME = env.text("GATEWAY_ADMIN_USERNAME", default="admin")
if len(ADMIN_USERNAME) > 150:  # of Django's users, which SQLite would not hold to
    raise ImproperlyConfigured("GATEWAY_ADMIN_USERNAME must have at most 150 characters.")
ADMIN_PASSWORD = env.text("GATEWAY_ADMIN_PASSWORD")

# --- Who signs in to the admin ---------------------------------------------------------------------------------

PASSWORD_SIGN_IN = env.flag("GATEWAY_PASSWORD_SIGN_IN", default=True)
SESSION_HOURS = env.whole("GATEWAY_SESSION_HOURS", default=12, least=1, most=720)
OIDC_ISSUER = env.web_address("GATEWAY_OIDC_ISSUER")
OIDC_CLIENT_ID = env.text("GATEWAY_OIDC_CLIENT_ID")
OIDC_CLIENT_SECRET = env.text("GATEWAY_OIDC_CLIENT_SECRET")
OIDC_SCOPES = env.text("GATEWAY_OIDC_SCOPES", default="openid email profile")
OIDC_GROUPS_CLAIM = env.text("GATEWAY_OIDC_GROUPS_CLAIM", default="groups")
OIDC_ROLES = env.pairs("GATEWAY_OIDC_ROLES")
OIDC_NAME = env.text("GATEWAY_OIDC_NAME", default="single sign-on")

# --- Times and sizes -----------------------------------------------------------------------------------------------

CONNECT_TIMEOUT = env.seconds("GATEWAY_CONNECT_TIMEOUT", default=5)
FIRST_BYTE_TIMEOUT = env.seconds("GATEWAY_FIRST_BYTE_TIMEOUT", default=600)
IDLE_TIMEOUT = env.seconds("GATEWAY_IDLE_TIMEOUT", default=120)
TOTAL_TIMEOUT = env.seconds("GATEWAY_TOTAL_TIMEOUT", default=3600)
BODY_TIMEOUT = env.seconds("GATEWAY_BODY_TIMEOUT", default=60)
MAX_BODY_BYTES = env.whole("GATEWAY_MAX_BODY_MB", default=100, least=1, most=100_000) * 1_000_000
GRACE_SECONDS = env.seconds("GATEWAY_GRACE_SECONDS", default=30)
QUEUE_LENGTH = env.whole("GATEWAY_QUEUE_LENGTH", default=1000, least=0, most=100_000)
QUEUE_SECONDS = env.seconds("GATEWAY_QUEUE_SECONDS", default=30)
RESPONSE_STATE_BYTES = env.whole("GATEWAY_RESPONSE_STATE_MB", default=256, least=0, most=100_000) * 1_000_000
CAPTURE_BODY_BYTES = env.whole("GATEWAY_CAPTURE_BODY_KB", default=256, least=1, most=10_000) * 1_000
CAPTURE_RETENTION_DAYS = env.whole("GATEWAY_CAPTURE_RETENTION_DAYS", default=7, least=1, most=365)
LOG_RETENTION_DAYS = env.whole("GATEWAY_LOG_RETENTION_DAYS", default=90, least=1, most=36_500)

# --- Limits --------------------------------------------------------------------------------------------------------

REDIS_URL = env.redis_address("REDIS_URL")
LEASE_SECONDS = env.whole("GATEWAY_LEASE_SECONDS", default=90, least=3, most=3600)
BUDGET_STATUS = env.choice("GATEWAY_BUDGET_STATUS", 422, 400, 402, 429)
REFUSE_WITHOUT_LIMITS = env.choice("GATEWAY_LIMITS_WITHOUT_STORE", "serve", "refuse") == "refuse"
DEFAULT_OUTPUT_TOKENS = env.whole("GATEWAY_DEFAULT_OUTPUT_TOKENS", default=256, least=0, most=10_000_000)
LENIENT_KEY_API = env.flag("GATEWAY_LENIENT_KEY_API", default=False)

# --- Django --------------------------------------------------------------------------------------------------------

DEBUG = False
ROOT_URLCONF = "gateway.urls"
WSGI_APPLICATION = "gateway.wsgi.application"
APPEND_SLASH = PLANE != "relay"
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"
USE_I18N = False

_OWN_APPS = ["rest_framework", "keys.apps.KeysConfig", "upstreams.apps.UpstreamsConfig", "gateway.apps.GatewayConfig"]
_ADMIN_APPS = [
    "gateway.admin_pages.config.GatewayAdminConfig",  # Django's admin, with our own site
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "people.apps.PeopleConfig",
]
# The relay loads neither the admin nor any middleware: what it does not have cannot delay a stream.
INSTALLED_APPS = _OWN_APPS if PLANE == "relay" else [*_ADMIN_APPS, "drf_spectacular", *_OWN_APPS]
MIDDLEWARE = (
    []
    if PLANE == "relay"
    else [
        "django.middleware.security.SecurityMiddleware",
        "whitenoise.middleware.WhiteNoiseMiddleware",
        "gateway.security_headers.SecurityHeadersMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "people.standing.StandingMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ]
)
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
AUTHENTICATION_BACKENDS = [
    *(["django.contrib.auth.backends.ModelBackend"] if PASSWORD_SIGN_IN else []),
    *(["people.oidc.OpenIDBackend"] if OIDC_ISSUER else []),
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "gateway" / "assets"]
WHITENOISE_USE_FINDERS = True  # served from where they are: nothing to collect, nothing that can be stale

# --- Security ------------------------------------------------------------------------------------------------------

_HTTPS = PUBLIC_URL.startswith("https://")
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")  # only ever written by the relay
SESSION_COOKIE_SECURE = _HTTPS
SESSION_COOKIE_NAME = "vgw_session"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"  # people come back from single sign-on by a link
SESSION_COOKIE_AGE = SESSION_HOURS * 3600
CSRF_COOKIE_SECURE = _HTTPS
CSRF_COOKIE_HTTPONLY = True
SECURE_HSTS_SECONDS = 31_536_000 if _HTTPS and PLANE != "relay" else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = False
# A redirect turns a POST into a GET, so only people with a browser are ever redirected.
SECURE_SSL_REDIRECT = _HTTPS and PLANE != "relay"
SECURE_REDIRECT_EXEMPT = [r"^(?!admin(/|$)|me/)"]
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SILENCED_SYSTEM_CHECKS = [
    *("security.W005", "security.W021"),  # sub-domains and preload are not ours to decide
    # HSTS, redirect and both cookies follow from GATEWAY_PUBLIC_URL: gateway.W002 says so once, with what to set.
    *("security.W004", "security.W008", "security.W012", "security.W016"),
    "security.W009",  # gateway.W007 says it
]

REST_FRAMEWORK = {
    "EXCEPTION_HANDLER": "gateway.error_handler.handle",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "UNAUTHENTICATED_USER": None,
    **({} if PLANE == "relay" else {"DEFAULT_SCHEMA_CLASS": "gateway.api_schema.schema.ManagementSchema"}),
}
SPECTACULAR_SETTINGS = {
    "TITLE": "vLLM Gateway",
    "DESCRIPTION": "Keys, teams, users, customers, models and usage. Names and shapes are LiteLLM's.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "SERVE_PUBLIC": True,
    "SERVE_INCLUDE_SCHEMA": False,
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "POSTPROCESSING_HOOKS": [],  # choices stay where they are used
    "APPEND_COMPONENTS": {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"redact": {"()": "gateway.redaction.RedactingFilter"}},
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["redact"]},
    },
    "root": {"handlers": ["stderr"], "level": "INFO"},
    # The relay has its own account of each call; Django would write a line for every 502 of an upstream.
    "loggers": {
        "django.request": {"level": "CRITICAL" if PLANE == "relay" else "ERROR"},
        "django.security.DisallowedHost": {"level": "CRITICAL"},  # a stranger could fill the log with tracebacks
        "psycopg.pool": {"level": "ERROR"},  # it writes a line for each attempt while the database is away
    },
}
