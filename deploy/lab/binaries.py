"""The real programs, built from their own modules and kept in the cache by version."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.lab.cache import cache, held
from deploy.lab.errors import LabError
from deploy.lab.process import run
from deploy.lab.toolchain import go

if TYPE_CHECKING:
    from deploy.lab.process import Say

KUBERNETES = "1.34.2"
KUBERNETES_MODULE = "k8s.io/kubernetes"
AGE_PROGRAMS = (("age", "cmd"), ("age-keygen", "cmd"), ("age-plugin-pq", "extra"))
CRI_TOOLS = "1.30.0"  # the newest that the Go module proxies serve; it speaks CRI v1, as containerd does


@dataclass(frozen=True, slots=True)
class Recipe:
    """One module at one version, and the programs wanted of it."""

    part: str
    version: str
    programs: tuple[tuple[str, str], ...]  # (file name, package)
    modules: tuple[str, ...]  # those at this version
    usual_s: int
    ldflags: str = ""
    staged: str = ""  # the version of Kubernetes whose own modules are wanted beside it
    replaces: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        return cache() / self.part / self.version

    @property
    def made(self) -> bool:
        return all((self.folder / name).is_file() for name, _ in self.programs)

    def path(self, program: str) -> Path:
        return self.folder / program


def etcd(version: str, usual_s: int) -> Recipe:
    """Server, etcdctl and etcdutl are three modules of one version."""
    modules = tuple(f"go.etcd.io/etcd/{module}/v3" for module in ("server", "etcdctl", "etcdutl"))
    names = ("etcd", "etcdctl", "etcdutl")
    return Recipe("etcd", version, tuple(zip(names, modules, strict=True)), modules, usual_s)


def kubernetes(part: str, programs: tuple[str, ...], usual_s: int) -> Recipe:
    """The apiserver refuses to run without knowing its own version, so the linker says it."""
    major, minor, _ = KUBERNETES.split(".")
    said = {"gitVersion": f"v{KUBERNETES}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    ldflags = " ".join(f"-X k8s.io/component-base/version.{key}={value}" for key, value in said.items())
    packages = tuple((name, f"k8s.io/kubernetes/cmd/{name}") for name in programs)
    return Recipe(part, KUBERNETES, packages, (KUBERNETES_MODULE,), usual_s, ldflags, KUBERNETES)


ETCD = {"3.5": etcd("3.5.33", 40), "3.6": etcd("3.6.14", 50)}
TEMPORAL = Recipe(
    "temporal",
    "1.5.1",
    (("temporal", "github.com/temporalio/cli/cmd/temporal"),),
    ("github.com/temporalio/cli",),
    150,
)
VERSITYGW = Recipe(
    "versitygw",
    "1.8.0",
    (("versitygw", "github.com/versity/versitygw/cmd/versitygw"),),
    ("github.com/versity/versitygw",),
    85,
)
AGE = Recipe(
    "age",
    "1.3.2",
    tuple((name, f"filippo.io/age/{where}/{name}") for name, where in AGE_PROGRAMS),
    ("filippo.io/age",),
    45,
)
CONTROL_PLANE = kubernetes(
    "kubernetes", ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl"), 240
)
NODE_AGENT = kubernetes("kubelet", ("kubelet", "kubeadm"), 45)
CRICTL = Recipe(
    "crictl",
    CRI_TOOLS,
    (("crictl", "github.com/kubernetes-sigs/cri-tools/cmd/crictl"),),
    ("github.com/kubernetes-sigs/cri-tools", KUBERNETES_MODULE),
    60,
    f"-X github.com/kubernetes-sigs/cri-tools/pkg/version.Version=v{CRI_TOOLS}",
    staged=CRI_TOOLS,
    # published under another name than it declares
    replaces=(f"github.com/kubernetes-sigs/cri-tools => sigs.k8s.io/cri-tools v{CRI_TOOLS}",),
)


def make(recipe: Recipe, say: Say) -> None:
    """Build unless the cache has it."""
    with held(f"build-{recipe.part}"):
        if not recipe.made:
            say(f"lab: building {recipe.part} {recipe.version} from its Go module (usually {recipe.usual_s} s)")
            build(recipe, say)


def build(recipe: Recipe, say: Say) -> None:
    """Build beside, then rename: a half-built program is never taken for a whole one."""
    work, log = cache() / "work" / recipe.part, cache() / "logs" / f"{recipe.part}-{recipe.version}.log"
    shutil.rmtree(work, ignore_errors=True)
    (work / "out").mkdir(parents=True)
    program = go(say)
    (work / "go.mod").write_text(go_mod(recipe, staging(program, recipe)))
    for name, package in recipe.programs:
        argv = [program, "build", "-v", "-mod=mod", "-trimpath", "-ldflags", f"-s -w {recipe.ldflags}".strip()]
        run([*argv, "-o", f"out/{name}", package], log, say, cwd=work, env={"CGO_ENABLED": "0"})
    recipe.folder.mkdir(parents=True, exist_ok=True)
    for name, _ in recipe.programs:
        (work / "out" / name).replace(recipe.folder / name)
    shutil.rmtree(work)


def go_mod(recipe: Recipe, staged: tuple[str, ...]) -> str:
    """A module of our own that requires theirs: `go install` refuses modules with replacements."""
    requires = [f"require {module} v{recipe.version}" for module in recipe.modules]
    zero = "v0" + recipe.staged.removeprefix("1")
    replaces = [f"{module} => {module} {zero}" for module in staged]
    lines = [f"replace {each}" for each in (*replaces, *recipe.replaces)]
    return "\n".join([f"module lab.quorate/{recipe.part}", "", "go 1.25", "", *requires, *lines, ""])


def staging(program: str, recipe: Recipe) -> tuple[str, ...]:
    """The modules Kubernetes keeps in its own tree; each is published as v0.<minor>.<patch>."""
    if not recipe.staged:
        return ()
    wanted = f"{KUBERNETES_MODULE}@v{recipe.staged}"
    asked = subprocess.run(
        [program, "mod", "download", "-json", wanted], capture_output=True, text=True, check=False, cwd=cache()
    )
    if asked.returncode:
        raise LabError(f"cannot download {wanted}: {asked.stdout or asked.stderr}; is a Go module proxy reachable?")
    text = Path(json.loads(asked.stdout)["GoMod"]).read_text()
    return tuple(re.findall(r"^\s*(?:replace )?(\S+) => \./staging/", text, re.MULTILINE))
