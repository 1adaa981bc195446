"""How a Temporal server that is not ours is reached."""

from temporalio.client import TLSConfig

from worker.settings import Settings


def tls(settings: Settings) -> TLSConfig | bool:
    section = settings.inventory.temporal.tls
    if section is None:
        return False
    from worker.wiring import Wiring  # every adapter: only who needs a secret pays for it

    resolve = Wiring(settings, "tls").secrets.resolve
    ca, cert, key = (resolve(each) if each else None for each in (section.ca, section.cert, section.key))
    return TLSConfig(server_root_ca_cert=ca, client_cert=cert, client_private_key=key)
