"""What our own sentence in an error tells besides its type: whose limit, budget, block or list of models it was."""

from __future__ import annotations

import re
from datetime import datetime

from gateway.admin_pages.cause import ADMIN, CALLER, Cause, Reached
from keys.errors import MODEL_LISTS
from keys.limit_words import KIND_WORDS, limit_word

# What a limit counts, as the error says it, the limit's name, and what can be done.
LIMITED = {
    "requests": ("rpm_limit", "has made as many calls as it may in a minute: call less often"),
    "tokens": ("tpm_limit", "has used as many tokens as it may in a minute: ask for fewer"),
    "max_parallel_requests": ("max_parallel_requests", "had as many calls open as it may: wait until one has ended"),
}
_RATE = re.compile(
    r"Rate limit exceeded for (api_key|team|user|end_user):.*Limit type: (\w+)( of [^\n]+?)?\.", re.DOTALL
)
_CEILING = re.compile(r"Current limit: (\d{1,19}), Remaining")
_RESETS = re.compile(r"Limit resets at: ([0-9-]{10} [0-9:]{8}\+00:00)$")
_BUDGET = re.compile(r"Budget has been exceeded! (Key|Team|User|End user)=.*?(?:\((\w+)\)\.)?$", re.DOTALL)
_NOTHING = re.compile(r", Max budget: 0(?: tokens)? \([^()]*\)\.$")
_BLOCKED = re.compile(r"Authentication Error, (?:(Team|User)=|Key is blocked\.)")
_REPLACED = re.compile(r" and current time [0-9:+ -]{25}\. The key has been given another secret; use that one\.$")
_LISTS = {words: kind for kind, words in MODEL_LISTS.items()}
_NOT_LISTED = re.compile(
    rf"The requested model '.*' is not available for ({'|'.join(_LISTS)}), or the model name is invalid\. "
    r"Check the models available to you and try again\.$",
    re.DOTALL,
)
_NO_MODEL = re.compile(rf"({'|'.join(_LISTS)}) is limited to certain models, and the model of this", re.IGNORECASE)


def told_by(error_type: str | None, text: str) -> Cause | None:
    """The cause, where the sentence is one that says more than its type; else None."""
    if error_type == "throttling_error" and (match := _RATE.match(text)):
        return _of_rate(_kind(match[1]), match[2], text, per_model=bool(match[3]))
    if error_type == "budget_exceeded" and (match := _BUDGET.match(text)):
        return _of_budget(_kind(match[1]), match[2] or "max_budget", is_nothing=bool(_NOTHING.search(text)))
    if error_type == "auth_error" and (match := _BLOCKED.match(text)):
        return _of_block(_kind(match[1] or "key"))
    if error_type == "expired_key" and _REPLACED.search(text):
        return _REPLACED_SECRET
    if error_type == "key_model_access_denied":
        return _of_list(text)
    return None


_REPLACED_SECRET = Cause(
    CALLER,
    "The secret was replaced by a rotation, and is past its overlap: use the new secret of the key.",
    whose="key",
    short="secret replaced",
)


def _of_block(whose: str) -> Cause:
    noun = "key" if whose == "key" else KIND_WORDS[whose]
    named = "The key" if whose == "key" else f"The key's {noun}"
    sentence = f"{named} is blocked: unblock it on its page, if that is wanted."
    return Cause(ADMIN, sentence, whose, short=f"{noun} blocked")


def _of_list(text: str) -> Cause | None:
    """Whose list of models it was that does not hold the model, or that made it matter that none could be told."""
    if match := _NOT_LISTED.match(text):
        kind = _LISTS[match[1]]
        noun = KIND_WORDS[kind]
        sentence = (
            f"The {noun} may not use this model: add it to the list on the page of the {noun}, or ask for another."
        )
        return Cause(ADMIN, sentence, kind, short=f"model not allowed to the {noun}")
    if match := _NO_MODEL.match(text):
        kind = _LISTS[match[1].lower().replace("this api", "this API")]
        return Cause(
            CALLER,
            f"The {KIND_WORDS[kind]} is limited to certain models, and the body names none that could be read: "
            "send JSON with a “model” that it may use.",
            kind,
            short="no model named",
        )
    return None


def _of_rate(whose: str, counted: str, text: str, *, per_model: bool) -> Cause | None:
    if counted not in LIMITED:
        return None
    limit, words = LIMITED[counted]
    is_of_places = limit == "max_parallel_requests"
    limit = f"model_{limit}" if per_model and not is_of_places else limit
    ceiling, resets = _CEILING.search(text), _RESETS.search(text)
    reached = Reached(
        limit_word(limit),
        KIND_WORDS[whose],
        f"{int(ceiling[1]):,}" if ceiling else "",
        _moment(resets[1]) if resets else None,
        is_of_places,
    )
    remedy = f"or have “{limit_word(limit)}” raised on the page of the {KIND_WORDS[whose]}"
    return Cause(
        CALLER,
        f"The {KIND_WORDS[whose]} {words}, {remedy}.",
        whose,
        short=f"limit: {limit_word(limit).lower()} of the {KIND_WORDS[whose]}",
        reached=reached,
    )


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _of_budget(whose: str, limit: str, *, is_nothing: bool) -> Cause:
    named = "" if limit == "max_budget" else f" (“{limit_word(limit)}”)"
    state, words = "spent", "raise it or reset the spend on its page, or wait where it starts anew"
    if limit == "token_budget":
        words = "raise it on its page, or wait where it starts anew"
    if is_nothing:
        state, words = "0 and always spent", "raise it on its page"
    return Cause(
        ADMIN,
        f"A budget{named} of the {KIND_WORDS[whose]} is {state}: {words}.",
        whose,
        short=f"{limit_word(limit)} of the {KIND_WORDS[whose]} spent",
    )


def _kind(word: str) -> str:
    kind = word.lower().replace(" ", "_")
    return "key" if kind == "api_key" else kind
