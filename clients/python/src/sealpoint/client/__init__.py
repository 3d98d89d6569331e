"""The clients: `sync.Client` and `aio.AsyncClient` over the same builders and the same stream bookkeeping."""
