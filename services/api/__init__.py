"""HTTP and WebSocket routers, one per noun: they translate and delegate."""
