"""The stores of files that DataJoint's settings name: `stores` in its file, or DJ_STORES in place of these (2.x)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from graph.files import DEFAULT_STORE, StoreSettings
from proxy.errors import InputError
from proxy.settings import Surroundings, config_content, config_file

_GROUP = "stores"


def datajoint_stores(surroundings: Surroundings) -> dict[str, StoreSettings]:
    """The stores that DataJoint would use here, by name; 2.x's default one by `default`, too.

    Raises InputError for settings that cannot be read.
    """
    stores = _stores(surroundings)
    found = {name: _store(spec, surroundings) for name, spec in stores.items() if isinstance(spec, dict)}
    default = stores.get(DEFAULT_STORE)
    if isinstance(default, str) and default in found:
        found[DEFAULT_STORE] = found[default]
    return found


def _stores(surroundings: Surroundings) -> dict[str, Any]:
    if text := surroundings.environment.get("DJ_STORES"):
        try:
            content = {_GROUP: json.loads(text)}
        except ValueError:
            raise InputError("DJ_STORES is not valid JSON") from None
    else:
        path = config_file(surroundings)
        content = {} if path is None else config_content(path)
    group = content.get(_GROUP)
    stores = dict(group) if isinstance(group, dict) else {}
    for key, value in content.items():
        first, _, rest = key.partition(".")
        name, _, attribute = rest.partition(".")
        if first == _GROUP and attribute:
            known = stores.get(name)
            stores[name] = {**(known if isinstance(known, dict) else {}), attribute: value}
        elif first == _GROUP and name:
            stores[name] = value
    return stores


def _store(spec: Mapping[str, Any], surroundings: Surroundings) -> StoreSettings:
    protocol, location = str(spec.get("protocol", "file")).lower(), str(spec.get("location") or "")
    if protocol == "file" and location:
        location = str(surroundings.folder / location)
    folds = spec.get("subfolding")
    if not isinstance(folds, list) or not all(isinstance(fold, int) for fold in folds):
        return StoreSettings(protocol, location)
    return StoreSettings(protocol, location, tuple(folds))
