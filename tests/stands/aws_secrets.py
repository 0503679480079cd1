"""Secrets Manager where moto is not as it."""

from moto.secretsmanager.models import FakeSecret, SecretsManagerBackend

_moved = SecretsManagerBackend.update_secret_version_stage


def correct() -> None:
    """Have GetSecretValue return what UpdateSecretVersionStage made AWSCURRENT: moto returns what was put so.

    https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html
    """
    SecretsManagerBackend.update_secret_version_stage = _move  # type: ignore[method-assign]


def _move(
    self: SecretsManagerBackend,
    secret_id: str,
    version_stage: str,
    remove_from_version_id: str,
    move_to_version_id: str,
) -> tuple[str, str]:
    moved = _moved(self, secret_id, version_stage, remove_from_version_id, move_to_version_id)
    secret = self.secrets[secret_id]
    if version_stage == "AWSCURRENT" and isinstance(secret, FakeSecret):
        secret.set_default_version_id(move_to_version_id)
    return moved
