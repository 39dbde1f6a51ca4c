"""The one relay plane of this process: importing this makes it, and with it its directories. Nobody else needs to."""

from gateway.plane import RelayPlane

plane = RelayPlane()
