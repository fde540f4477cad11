"""Shows that a fresh deployment works: loads the iris sample through the command line and asks it something."""

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable

from compose import seldon_command
from compose.process.common import address
from compose.process.home import REPOSITORY
from compose.status import Deployed
from shared.errors import Unavailable

_MANIFEST = "samples/models/sklearn-iris-gs.yaml"
_REQUEST = '{"inputs":[{"name":"predict","shape":[1,4],"datatype":"FP32","data":[[1,2,3,4]]}]}'
_WAIT_SECONDS = 60


def load_and_ask(stack: Deployed, tell: Callable[[str], None]) -> None:
    """Raises Unavailable, with what the failing command said, when it does not work."""
    tell(f"$ seldon model load -f {_MANIFEST}")
    tell(_seldon(stack, "model", "load", "-f", str(REPOSITORY / _MANIFEST)))
    tell("$ seldon model status iris -w ModelAvailable")
    tell(_seldon(stack, "model", "status", "iris", "-w", "ModelAvailable", "-t", str(_WAIT_SECONDS)))
    url = f"http://{address(stack.settings, stack.port('ENVOY_DATA_PORT'))}/v2/models/iris/infer"
    tell(f"$ curl {url} -H 'Content-Type: application/json' -H 'Seldon-Model: iris' -d '{_REQUEST}'")
    tell(_ask(url))


def _seldon(stack: Deployed, *arguments: str) -> str:
    # By flag, since whoever deploys may have a configuration or an environment that names another system.
    scheduler = address(stack.settings, stack.port("SCHEDULER_SERVER_PORT"))
    command = [str(seldon_command.command(stack.home)), *arguments, "--scheduler-host", scheduler]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise Unavailable(f"seldon {' '.join(arguments)} failed: {said}")
    return done.stdout.strip()


def _ask(url: str) -> str:
    request = urllib.request.Request(
        url, _REQUEST.encode(), {"Content-Type": "application/json", "Seldon-Model": "iris"}
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30) as reply:
            return json.dumps(json.load(reply))
    except urllib.error.HTTPError as refusal:
        with refusal:
            raise Unavailable(f"iris answers {refusal.code}: {refusal.read().decode(errors='replace')}") from None
