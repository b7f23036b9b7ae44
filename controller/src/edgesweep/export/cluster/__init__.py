"""Exporting on a Dask cluster (`executor: dask`): the same jobs, results and limits as on this host.

`service` is the controller's door, `connection` opens the cluster and holds its workers against this host, `bay` is what runs
on a Dask worker, `sight` tells whether a worker sees a model's files, `fetch` brings blobs home.
"""
