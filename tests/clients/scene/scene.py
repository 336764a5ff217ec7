"""What the Python clients have in common: the scene that they are given, and what they tell of it."""

import json
import sys

LIMIT_S = 60
# Each of the two transactions has as many records.
IN_TRANSACTION = 12


def encoded(text):
    return None if text is None else text.encode()


def decoded(data):
    return None if data is None else data.decode()


def given(config_of):
    """The scene, with the records by codec, how many they are, and the client's configuration for it."""
    scene = json.loads(sys.argv[1])
    scene["config"], scene["script"] = config_of(scene), {}
    for line in sys.stdin:
        record = json.loads(line)
        scene["script"].setdefault(record["codec"], []).append(record)
    scene["count"] = sum(map(len, scene["script"].values()))
    return scene


def tell(step, outcome):
    print(json.dumps({"step": step} | outcome), flush=True)


def play(steps, config_of):
    """Plays the steps that the scene asks for, each a function of its name."""
    by_name, scene = {step.__name__: step for step in steps}, given(config_of)
    for name in scene["steps"]:
        tell(name, by_name[name](scene))
