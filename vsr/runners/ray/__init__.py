"""A cluster of machines, on which Ray hands out segments; pictures go through the store alone.

`runner.py` is the run's side, in its own process. It starts `driver.py`, which Ray may end when it
likes: there the cluster is looked at (`cluster.py`), actors are placed (`actor.py`, whose
work is in `worker.py`) and given shares (`hand_out.py`).
"""
