"""Names the app to Django."""

from django.apps import AppConfig


class GatewayConfig(AppConfig):
    name = "gateway"
    verbose_name = "Traffic"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from gateway.capture.models import encrypt_again
        from gateway.checks import register_all
        from gateway.responses.state import drop_all
        from upstreams.encryption import rotated

        register_all()
        rotated.connect(lambda **_: drop_all(), weak=False, dispatch_uid="stored responses")
        rotated.connect(lambda **_: encrypt_again(), weak=False, dispatch_uid="captured payloads")
