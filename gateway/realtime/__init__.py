"""WebSocket calls (`/v1/realtime`): authenticated, limited, accounted and cut like any other."""
