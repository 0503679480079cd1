"""`lookup('vaulted', text)`: the text as ansible-vault encrypts it, with the password that the run has."""

from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = """
name: vaulted
author: Springboard
short_description: Encrypt text as ansible-vault does
description:
  - The other way of ansible.builtin.unvault. Of several passwords it takes the one that ansible-vault would.
options:
  _terms:
    description: What is to be encrypted.
    required: true
"""


class LookupModule(LookupBase):  # type: ignore[misc]  # Ansible has no types
    """Encrypts each term."""

    def run(self, terms: list[str], variables: object = None, **options: Any) -> list[str]:
        """Return each term encrypted. Raises `AnsibleError` where the run has no vault's password."""
        # Ansible offers encryption to plugins in no other way: its filter wants the password as a variable.
        vault = self._loader._vault
        if not vault.secrets:
            raise AnsibleError(
                "There is no password to encrypt with. Give --ask-vault-pass, or a file that has it: "
                "--vault-password-file FILE, or ANSIBLE_VAULT_PASSWORD_FILE"
            )
        return [vault.encrypt(str(term)).decode() for term in terms]
