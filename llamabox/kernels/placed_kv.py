"""PlacedCache: the KV blocks of all layers, each layer's on its device; one KVCache a device below it."""

from typing import Any

from llamabox.kernels.kv import KVCache, KVShape, check_types
from llamabox.kernels.placed_arrays import Pass, Placed, Site


class PlacedCache(KVCache):
    """What the engine sees as one cache.

    k, v    placed arrays, one a layer
    caches  device -> its KVCache;  shares  (device, its cache, the layers in it)
    places  of each layer: (device, its number in that device's cache)
    """

    def __init__(self, run: Pass, sites: list[Site], shapes: list[KVShape], n_blocks: int, type_k: str, type_v: str):
        """sites: the device of each layer"""
        check_types(shapes, type_k, type_v)
        self.n_blocks, self.type_k, self.type_v = n_blocks, type_k, type_v
        self.places: list[tuple[Site, int]] = []
        layers: dict[str, list[int]] = {}
        for i, site in enumerate(sites[: len(shapes)]):
            self.places.append((site, len(layers.setdefault(site.name, []))))
            layers[site.name].append(i)
        by_name = {site.name: site for site in sites}
        self.shares = [
            (by_name[name], by_name[name].use().kv_cache([shapes[i] for i in held], n_blocks, type_k, type_v), held)
            for name, held in layers.items()
        ]
        self.caches: dict[str, Any] = {site.name: cache for site, cache, _ in self.shares}
        self.k = [Placed(run, site, self.caches[site.name].k[i]) for site, i in self.places]
        self.v = [Placed(run, site, self.caches[site.name].v[i]) for site, i in self.places]

    def describe(self) -> str:
        return ", ".join(f"{site.name} {cache.describe()}" for site, cache, _ in self.shares)

    def copy_block(self, source: int, target: int) -> None:
        for site, cache, _ in self.shares:
            site.use()
            cache.copy_block(source, target)
