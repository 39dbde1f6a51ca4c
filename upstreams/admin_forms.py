"""The form of an upstream. The credential goes in and never comes out again."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.admin.widgets import AdminTextInputWidget
from django.core.exceptions import ValidationError

from upstreams.admin_prices import HourlyPriceField
from upstreams.fields import Credential
from upstreams.models import Upstream

KEEP = "A credential is stored. Leave this empty to keep it."
NONE_YET = "The server's own API key (vllm serve --api-key). Leave this empty when it has none."
AGAIN = "Enter the credential once more before you save: it is never sent back to a page."
MOVED = " It belongs to this scheme, host and port: changing one of them clears it."


SAME_ADDRESS = (
    "{names} {has} this address already. A second upstream there has a ceiling and a count of calls of its own, and "
    "each call goes to one of them. If that is meant, tick “{label}”."
)
MOST_NAMES = 3
ONCE_MORE = "Save it with this address once more"


class CredentialField(forms.CharField):
    """A credential to be entered, never one to be shown; empty is no change."""

    widget = forms.PasswordInput

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(data)


class UpstreamForm(forms.ModelForm[Upstream]):
    """Where an upstream is, and the credential that it wants."""

    credential = CredentialField(
        label="Credential",
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "class": "vTextField"}),
    )
    price_per_hour = HourlyPriceField("Price per hour", "US dollars for an hour of the whole server.")
    clear_credential = forms.BooleanField(label="Clear the stored credential", required=False)
    same_address = forms.BooleanField(label=ONCE_MORE, required=False)

    class Meta:
        model = Upstream
        fields = [
            "name",
            "url",
            "credential",
            "state",
            "is_default",
            "max_parallel",
            "connect_timeout",
            "first_byte_timeout",
            "idle_timeout",
            "total_timeout",
            "price_per_hour",
        ]
        widgets = {
            "name": AdminTextInputWidget(attrs={"autocomplete": "off"}),
            "url": AdminTextInputWidget(
                attrs={"autocomplete": "off", "inputmode": "url", "placeholder": "http://my-vllm:8000"}
            ),
        }
        help_texts = {
            "url": "Where vLLM answers, with or without a trailing /v1.",
            "state": "Draining takes no new calls and lets the open ones finish; disabled takes none.",
            "is_default": "Receives every call whose model is not an alias of a deployment.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.had_credential = bool(self.instance.credential)
        if "credential" in self.fields:
            self.fields["credential"].help_text = KEEP + MOVED if self.had_credential else NONE_YET
        if not self.had_credential:
            self.fields.pop("clear_credential", None)

    def clean_credential(self) -> Credential:
        """What was entered, else what is stored."""
        entered = Credential(self.cleaned_data["credential"])
        entered.check()
        return entered or self.instance.credential

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if cleaned.get("clear_credential"):
            if "credential" in self.changed_data:
                raise ValidationError("Either enter a new credential or clear the stored one.")
            cleaned["credential"] = Credential()
        return cleaned

    def full_clean(self) -> None:
        """Then asks about the address, where that alone is in question."""
        super().full_clean()
        if self.is_bound and self.cleaned_data.get("url") and not self.cleaned_data.get("same_address"):
            self._ask_about_twins()

    def _ask_about_twins(self) -> None:
        """Refuses the address of another upstream, until somebody says that it is meant."""
        if "url" not in self.changed_data:
            return
        names = [twin.name for twin in Upstream.objects.at(self.instance.url) if twin.pk != self.instance.pk]
        if names:
            more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
            has = "has" if len(names) == 1 else "have"
            told = SAME_ADDRESS.format(names=", ".join(names[:MOST_NAMES]) + more, has=has, label=ONCE_MORE)
            self.add_error("url", ValidationError(told))

    def ask_again(self) -> bool:
        """Before a refused form is shown again, wherever on its page the fault was: asks for a credential that was
        entered, since the field is empty then, and an empty one is stored without a word. Returns whether it asks."""
        was_entered = self.is_bound and "credential" in self.fields and "credential" in self.changed_data
        if was_entered:
            self.add_error("credential", ValidationError(AGAIN))
        return was_entered

    @property
    def changed_columns(self) -> set[str]:
        """The columns that the form writes."""
        changed = set(self.changed_data)
        cleared = {"credential"} if "clear_credential" in changed else set()
        return (changed - {"clear_credential", "same_address"}) | cleared
