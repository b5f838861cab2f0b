"""HTTP: reads requests, calls `app.inference`, writes answers. One router a resource."""
