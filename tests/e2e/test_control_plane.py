"""What belongs to a control plane besides its data: the keys of its Secrets, the list of its etcd servers."""

import base64

import pytest

from deploy.lab.https import Caller, NoAnswerError
from deploy.lab.lab import wreck
from deploy.lab.ready import api_identity
from tests.e2e.product import Product, on_node, until
from tests.e2e.standing import cancelled_in, found

pytestmark = pytest.mark.lab
FILE = "/etc/kubernetes/encryption.yaml"
UNIT = "$(systemctl show -p FragmentPath --value kube-apiserver)"
SECRETS = "/api/v1/namespaces/default/secrets"
WHY = ("--override-gate", "quorum-healthy", "--reason", "it is a test")
THEN, NOW = "then", "now"
TOOL = "/usr/local/bin/etcdutl"


def keys(*names: str) -> str:
    """Whoever writes uses the first, whoever reads all of them."""
    listed = "".join(
        f"          - name: {name}\n            secret: {base64.b64encode(name.ljust(32, '.').encode()).decode()}\n"
        for name in names
    )
    return (
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n"
        f"  - resources: [secrets]\n    providers:\n      - aescbc:\n          keys:\n{listed}"
    )


def everywhere(product: Product, script: str) -> None:
    for number, _ in enumerate(product.lab.nodes):
        on_node(product.lab, script, number)


def with_keys(product: Product, *names: str) -> None:
    text = base64.b64encode(keys(*names).encode()).decode()
    everywhere(product, f"echo {text} | base64 -d > {FILE}; chmod 600 {FILE}")


def restarted(product: Product) -> None:
    """Killed, for a stop that is asked for waits up to a minute for its watches."""
    everywhere(product, "systemctl daemon-reload; systemctl kill -s KILL kube-apiserver || true")
    everywhere(product, "systemctl restart --no-block kube-apiserver")
    until(lambda: all(answers(product, n) for n, _ in enumerate(product.lab.nodes)), deadline_s=180, poll_s=0.5)


def answers(product: Product, number: int) -> bool:
    try:
        api(product, number).call("GET", "/readyz")
    except NoAnswerError:
        return False
    return True


def api(product: Product, number: int = 0) -> Caller:
    return Caller(product.lab.nodes[number].api_url, api_identity(product.lab))


@pytest.fixture(scope="module")
def encrypted(whole: Product) -> Product:
    """There is one Secret, and the backup has it."""
    with_keys(whole, THEN)
    everywhere(whole, rf"sed -i 's|--allow-privileged=true|& \\\n    --encryption-provider-config={FILE}|' {UNIT}")
    restarted(whole)
    secret = {"metadata": {"name": "kept"}, "stringData": {"word": "xyzzy"}}
    api(whole).call("POST", SECRETS, {"apiVersion": "v1", "kind": "Secret", **secret})
    whole.backup()
    return whole


def test_secrets_that_nobody_can_decrypt_are_told_and_what_to_do_helps(encrypted: Product) -> None:
    whole = encrypted
    with_keys(whole, NOW)
    held = whole.restore(*WHY, exit_code=10)
    assert "not every Secret can be decrypted" in held["error"]["message"]
    assert "xyzzy" not in str(held)
    with_keys(whole, NOW, THEN)
    restarted(whole)
    assert whole.run("retry", held["operation"]).returncode == 0
    result = whole.json("watch", held["operation"])
    assert (result["outcome"], [each for each in result["findings"] if "decrypted" in each]) == ("restored", [])
    assert word(whole) == b"xyzzy"


def word(product: Product) -> bytes:
    return base64.b64decode(api(product).call("GET", f"{SECRETS}/kept")["data"]["word"])


def test_a_restore_that_is_given_up_after_clients_were_let_in_gives_way_to_one_of_what_it_has_kept(
    encrypted: Product,
) -> None:
    """Held where no rollback is left, aborted, taken over."""
    whole = encrypted
    with_keys(whole, NOW)
    held = whole.restore(*WHY, exit_code=10)["operation"]
    assert whole.json("abort", held, exit_code=10)["outcome"] == "held"
    refused = whole.json("plan", "restore", whole.cluster, "--from-kept", held, *WHY, exit_code=4)
    assert [gate["id"] for gate in refused["refusals"]] == ["claimed"]
    with_keys(whole, NOW, THEN)
    result = whole.restore("--from-kept", held, "--override-gate", "claimed", *WHY)
    assert (result["outcome"], word(whole)) == ("restored", b"xyzzy")
    assert whole.json("inspect", whole.cluster)["findings"] == []
    assert [whole.run("audit", "verify", each).returncode for each in (held, result["operation"])] == [0, 0]
    assert on_node(whole.lab, f"ls /var/lib/quorate/{whole.cluster}/claim 2>&1 || true").endswith(
        "No such file or directory"
    )


def listed(product: Product, number: int, url: str) -> bool:
    return url in on_node(product.lab, f"cat {UNIT}", number)


@pytest.fixture(scope="module")
def without(whole: Product) -> tuple[str, ...]:
    """The last member is gone for good, and what says so to a restore."""
    away = whole.lab.nodes[-1]
    whole.backup()
    gone = ("--without", away.name, *WHY)
    wreck(whole.lab, "stop-node", away.name)
    until(lambda: whole.run("plan", "restore", whole.cluster, *gone).returncode == 0)
    return gone


def asked(product: Product, number: int) -> str:
    """The servers that the API server which runs was told."""
    words = on_node(product.lab, "tr '\\0' '\\n' </proc/$(pidof kube-apiserver)/cmdline", number)
    return next(word for word in words.splitlines() if word.startswith("--etcd-servers="))


def test_a_cancel_gives_the_lists_back_and_takes_the_tools_away(whole: Product, without: tuple[str, ...]) -> None:
    staying = whole.lab.nodes[:-1]
    on_node(whole.lab, f"mv {TOOL} {TOOL}.away")
    try:
        before = [(found(whole, node), asked(whole, number)) for number, node in enumerate(staying)]
        cancelled_in(whole, "unlist", staying[0], "sed", "-i *", *without)
        assert all(answers(whole, number) for number, _ in enumerate(staying))
        assert [(found(whole, node), asked(whole, number)) for number, node in enumerate(staying)] == before
    finally:
        on_node(whole.lab, f"mv {TOOL}.away {TOOL}")


def test_who_is_gone_is_taken_out_of_the_lists_of_those_that_stay(whole: Product, without: tuple[str, ...]) -> None:
    """The last test of this lab: it ends with two members."""
    *staying, away = whole.lab.nodes
    result = whole.restore(*without)
    assert (result["outcome"], "unlist" in {step["id"] for step in result["steps"]}) == ("restored", True)
    assert not any(listed(whole, number, away.client_url) for number, _ in enumerate(staying))
    assert all(listed(whole, number, staying[0].client_url) for number, _ in enumerate(staying))
    assert any(f"{away.client_url} was taken out of --etcd-servers" in each for each in result["findings"])
