"""`make demo`: the operator at work on this machine, on a real Kubernetes API and a real Milvus, in numbered lines.

Every line is checked; the first that is not true ends the demo with exit code 1. Nothing keeps running afterwards.
"""

import argparse
import signal
import sys
import time
from pathlib import Path
from typing import Any

from testbed import build, demo_samples
from testbed.build import BuildError
from testbed.demo_narrator import BrokenPromiseError, Narrator, expect
from testbed.demo_stage import ROOT, Stage
from testbed.demo_story import Story

_LOG_LINES = 15
_INTERRUPTED = 130
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="demo", description="The operator at work, from apply to login.")
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C")
    parser.add_argument(
        "--samples",
        type=Path,
        default=ROOT / "manifests" / "samples",
        help="what is applied (manifests/samples)",
    )
    arguments = parser.parse_args()
    for number in _SIGNALS:
        signal.signal(number, _interrupt)
    start = time.monotonic()
    narrator = Narrator()
    try:
        _run(narrator, arguments.samples, keep=arguments.keep)
    except (BrokenPromiseError, BuildError) as problem:
        narrator.say(f"The demo failed: {problem}")
        return 1
    except KeyboardInterrupt:
        narrator.say("Interrupted; everything is stopped.")
        return _INTERRUPTED
    narrator.say(f"All of this was true, in {time.monotonic() - start:.0f} s.")
    return 0


def _interrupt(*_: Any) -> None:
    """Ends the demo; being told twice must not keep it from cleaning up."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _run(narrator: Narrator, samples: Path, *, keep: bool) -> None:
    kubernetes, milvus = build.ensure_kubernetes(), build.ensure_milvus()
    with Stage() as stage:
        story = Story(stage, narrator)
        try:
            story.start_kubernetes(kubernetes)
            story.start_milvus(milvus)
            _tell(story, stage, samples)
        except BrokenPromiseError:
            _show_log(narrator, stage)
            raise
        if keep:
            _keep(narrator, stage, story)
        else:
            story.delete()
        with narrator.step("Everything is stopped: no process, no port, no file is left"):
            stage.close()
            expect(not stage.leftovers(), "; ".join(stage.leftovers()))


def _tell(story: Story, stage: Stage, samples: Path) -> None:
    story.install()
    story.start_operator()
    folder = stage.folder / "samples"
    folder.mkdir()
    story.apply(demo_samples.load(samples, folder, stage.milvus.uri))
    story.check_root()
    story.check_rights()
    story.rotate()
    story.undo_by_hand()


def _show_log(narrator: Narrator, stage: Stage) -> None:
    if stage.operator is not None:
        narrator.say(f"The operator's last words:\n{stage.operator.process.tail(_LOG_LINES)}")


def _keep(narrator: Narrator, stage: Stage, story: Story) -> None:
    """Says how everything is reached, then waits for Ctrl-C."""
    assert stage.operator is not None
    samples, namespace = story.samples, story.samples.namespace
    reveal = "--output go-template='{{.data.password | base64decode}}'"
    secret = f"kubectl --namespace {namespace} get secret"
    narrator.say(
        f"""
Everything is left running. In another terminal:

  export KUBECONFIG={stage.cluster.kubeconfig}
  export PATH={stage.cluster.facts.kubectl.parent}:$PATH
  kubectl --namespace {namespace} get milvus-rbac

  Milvus             {stage.milvus.uri}
  its administrator  {samples.admin}, with the password from
                     {secret} {samples.admin_secret} {reveal}
  the user           {samples.user}, with the password from
                     {secret} {samples.user_secret} {reveal}
  the manifests      {samples.folder}
  operator           {stage.operator.url}/metrics, log in {stage.operator.log}

Ctrl-C here stops everything and removes every file."""
    )
    try:
        while stage.operator.process.alive:
            time.sleep(1)
    except KeyboardInterrupt:
        return
    raise BrokenPromiseError(f"the operator ended:\n{stage.operator.process.tail(_LOG_LINES)}")


if __name__ == "__main__":
    sys.exit(main())
