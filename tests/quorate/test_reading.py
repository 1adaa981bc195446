from pathlib import Path

import pytest
from pydantic import ValidationError

from quorate.errors import BadInput
from quorate.inventories.reading import parse
from quorate.settings.machines import EtcdSettings
from tests.factory import INVENTORY

GOOD = INVENTORY.format(state="/state", store="/store")
BAD = """\
apiVersion: quorate/v1
state_dir: relative
stores:
  here: {directory: /store, s3: {bucket: abc}}
clusters:
  demo:
    ssh: {user: root, identity: hunter2, known_hosts: /k}
    etcd: {data_dir: /var/lib/etcd}
    members:
      - {name: a, host: h, peer_urls: ["nope"], client_urls: ["http://h:1"]}
      - {name: a, host: i, peer_urls: ["http://i:2"], client_urls: ["http://i:1"]}
    backup: {store: there}
    objectives: {rto: soon, rpo: 5m}
    colour: red
"""


def mistakes(text: str) -> list[str]:
    with pytest.raises(BadInput) as raised:
        parse(text, "q.yaml")
    return str(raised.value).splitlines()


def test_every_mistake_is_told_at_once_with_its_line() -> None:
    found = {line.split(": ")[0]: line.split(": ")[1] for line in mistakes(BAD)}
    assert found == {
        "q.yaml:2": "state_dir",
        "q.yaml:4": "stores.here",
        "q.yaml:6": "clusters.demo",
        "q.yaml:7": "clusters.demo.ssh.identity",
        "q.yaml:10": "clusters.demo.members.0.peer_urls.0",
        "q.yaml:12": "clusters.demo.backup.store",
        "q.yaml:13": "clusters.demo.objectives.rto",
        "q.yaml:14": "clusters.demo.colour",
    }


def test_a_reference_to_no_store_is_told_beside_other_mistakes_and_names_those_that_exist() -> None:
    assert "q.yaml:12: clusters.demo.backup.store: is 'there'; stores that exist: here" in mistakes(BAD)


def test_a_list_whose_items_are_wrong_is_not_called_too_short() -> None:
    assert not [line for line in mistakes(BAD) if "at least 1 item" in line]


def test_an_empty_list_is_called_too_short() -> None:
    empty = GOOD.replace('client_urls: ["http://127.0.0.1:11"]', "client_urls: []")
    assert [line for line in mistakes(empty) if "members.0.client_urls" in line and "at least 1 item" in line]


def test_a_certificate_without_its_key_is_told_with_its_line() -> None:
    text = GOOD + "temporal:\n  address: far:7233\n  tls: {cert: file:/c}\n"
    (told,) = mistakes(text)
    assert told == f"q.yaml:{len(text.splitlines())}: temporal.tls: expected both of cert, key or neither"


def test_a_secret_in_place_of_a_reference_is_not_shown() -> None:
    said = "\n".join(mistakes(BAD))
    assert "hunter2" not in said
    assert "env:NAME or file:/absolute/path" in said


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [("name: b", "name: a", "name a"), ("https://127.0.0.2:1", "https://127.0.0.1:1", "peer URL")],
)
def test_what_two_members_share_is_told_once(old: str, new: str, what: str) -> None:
    (line,) = mistakes(GOOD.replace(old, new))
    assert f"two members have the {what}" in line


def test_a_key_that_stands_twice_is_told_with_its_line() -> None:
    assert mistakes(GOOD + "state_dir: /other\n")[-1].endswith("state_dir: appears twice")


@pytest.mark.parametrize("text", ["a: [", "", "- 1", "a: &x [*x]", "stores: 7\nclusters: [1]", "1: 2", "? [a]\n: b"])
def test_whatever_stands_there_the_answer_is_bad_input(text: str) -> None:
    assert mistakes(text)


def test_a_right_file_is_read(tmp_path: Path) -> None:
    assert list(parse(GOOD, str(tmp_path)).clusters) == ["demo"]


def test_a_static_pod_travels_as_it_was_written() -> None:
    """What has been a payload is validated anew, with every default filled in."""
    manifest = "/etc/kubernetes/manifests/etcd.yaml"
    pod = EtcdSettings.model_validate({"manifest": manifest, "data_dir": "/var/lib/etcd"})
    assert EtcdSettings.model_validate_json(pod.model_dump_json()) == pod
    assert (pod.process, EtcdSettings(data_dir="/var/lib/etcd").process) == (manifest, "etcd.service")
    with pytest.raises(ValidationError, match="not both"):
        EtcdSettings.model_validate({"manifest": manifest, "unit": "etcd.service", "data_dir": "/var/lib/etcd"})


@pytest.mark.parametrize("wal_dir", ["/var/lib/etcd", "/var/lib", "relative"])
def test_a_log_directory_neither_is_nor_holds_the_data_directory(wal_dir: str) -> None:
    with pytest.raises(ValidationError, match="wal_dir|absolute"):
        EtcdSettings.model_validate({"data_dir": "/var/lib/etcd", "wal_dir": wal_dir})
