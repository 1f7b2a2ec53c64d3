"""Why: a secret that was written down once, in a log, a message or a journal, is nobody's secret any more.

The one place that knows what a secret looks like, and which values are secret here: whoever reads one
from the environment or a kubeconfig tells it. Where it is applied is its callers' business.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, Final, TypeVar
from urllib.parse import quote

HIDDEN: Final = "[hidden]"

# Shorter values would hide half of the text, and protect nothing.
_SHORTEST: Final = 6
_SHORTEST_PATH: Final = 16

_values: set[str] = set()

_NAMED: Final = (
    r"client-key-data|client-certificate-data|certificate-authority-data|id-token|refresh-token"
    r"|(?:[\w-]*[_-])?(?:token|password|passwd|secret|api[_-]?key|private[_-]?key|credentials?)"
)
_QUOTED: Final = r"\"[^\"\n]+\"|'[^'\n]+'"
_BARE: Final = r"[^\s,;'\"{}\[\]]"

_PATTERNS: Final = (
    # Private keys and certificates, whole, and as a kubeconfig has them in base64.
    (r"-----BEGIN [a-z0-9 ]+-----.*?(?:-----END [a-z0-9 ]+-----|\Z)", HIDDEN),
    (r"\bLS0tLS1CRUdJTi[\w+/=]+", HIDDEN),
    # Slack's tokens, and the path of its webhooks.
    (r"\bx(?:ox[a-z]|app)-[\w%.-]{6,}", HIDDEN),
    (r"(https?://hooks\.slack\.com/)[\w/-]+", rf"\1{HIDDEN}"),
    # ``Authorization: Bearer …`` and Basic, wherever they are quoted; not the words of a sentence.
    (r"\b(bearer\s+)(?=[\w.~+/=-]*\d)[\w.~+/=-]{8,}", rf"\1{HIDDEN}"),
    (r"\b(authorization['\"]?\s*[:=]\s*['\"]?\w+\s+)[\w.~+/=-]+", rf"\1{HIDDEN}"),
    # JSON web tokens: those of service accounts, and of most single sign-ons.
    (r"\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?", HIDDEN),
    # scheme://user:password@host; a password may itself hold an @.
    (r"(\b[a-z][a-z0-9+.-]{0,30}://[^\s/:@'\"]*):[^\s/'\"]+@", rf"\1:{HIDDEN}@"),
    # ``?token=…`` of an address, and ``token: …`` as in a kubeconfig, in JSON or in a variable.
    (rf"([?&](?:{_NAMED}|signature|sig|key)=)[^\s&'\"]+", rf"\1{HIDDEN}"),
    (rf"(?<![\w-])((?:{_NAMED})(?:=|['\"]?\s*[:=]\s*(?=['\"])))(?:{_QUOTED}|{_BARE}+)", rf"\1{HIDDEN}"),
    (rf"(?<![\w-])((?:[\w-]*password|[\w-]+-data):\s*){_BARE}{{4,}}", rf"\1{HIDDEN}"),
    # "the token: invalid_auth" is no secret, but what to do about one.
    (rf"(?<![\w-])((?:{_NAMED}):\s*)(?={_BARE}*\d){_BARE}{{8,}}", rf"\1{HIDDEN}"),
)

_SECRET_KEY: Final = re.compile(rf"(?:{_NAMED}|authorization)\Z", re.IGNORECASE)

T = TypeVar("T")


def secret(value: str) -> str:
    """From now on ``value`` is hidden wherever it appears. Answers with it."""
    # An address is often shown without its scheme, or in parts.
    _, _, place = value.partition("://")
    path = place[place.find("/") :] if "/" in place else ""
    for part, shortest in ((value, _SHORTEST), (place, _SHORTEST), (path, _SHORTEST_PATH)):
        if len(part) >= shortest:
            _values.update({part, quote(part, safe="")})
    redacted.cache_clear()
    return value


@lru_cache(maxsize=2048)  # a run says the same few words with every sample
def redacted(text: str) -> str:
    """``text`` without what is secret, or looks like it."""
    # The longest first: one secret may hold another.
    for value in sorted(_values, key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    for pattern, instead in _patterns():
        text = pattern.sub(instead, text)
    return text


@cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    # Not at import: a command that has nothing to tell need not wait for it.
    return [(re.compile(pattern, re.IGNORECASE | re.DOTALL), instead) for pattern, instead in _PATTERNS]


def redacted_data(data: T) -> T:
    """A copy of ``data``, as of JSON, with every text in it ``redacted``; secret keys lose their values."""
    return _clean(data)  # type: ignore[no-any-return]  # the same shape goes out as came in


def _clean(data: Any) -> Any:
    if isinstance(data, str):
        return redacted(data)
    if isinstance(data, Mapping):
        return {
            redacted(key) if isinstance(key, str) else key: _of_key(key, value) for key, value in data.items()
        }
    if isinstance(data, Sequence) and not isinstance(data, bytes | bytearray):
        return [_clean(one) for one in data]
    return data


def _of_key(key: Any, value: Any) -> Any:
    if isinstance(key, str) and isinstance(value, str) and value and _SECRET_KEY.match(key):
        return HIDDEN
    return _clean(value)


def redact_logs() -> None:
    """Take secrets out of every log record of this process as it is made, its traceback included."""
    make = logging.getLogRecordFactory()
    if isinstance(make, _Redacting):
        return
    logging.setLogRecordFactory(_Redacting(make))


class _Redacting:
    """Makes log records without secrets."""

    def __init__(self, make: Callable[..., logging.LogRecord]) -> None:
        self._make = make

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self._make(*args, **kwargs)
        try:
            text = record.getMessage()
        except Exception:  # a mistake in the logging call: logging itself tells of it, when it writes
            return record
        record.msg, record.args = redacted(text), None
        if record.exc_info:
            # Formatters keep what is there already.
            record.exc_text = redacted(logging.Formatter().formatException(record.exc_info))
        return record
