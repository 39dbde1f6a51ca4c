"""Registers the admin pages of all apps: those of keys and upstreams with what joins them with traffic."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.models import Group, User

from gateway.admin_pages.captures import PayloadCaptureAdmin
from gateway.admin_pages.groups import EndUserTrafficAdmin, OwnerTrafficAdmin, TeamTrafficAdmin
from gateway.admin_pages.keys import KeyTrafficAdmin
from gateway.admin_pages.logs import RequestLogAdmin
from gateway.admin_pages.models import ModelsAdmin
from gateway.admin_pages.payloads import CapturedPayloadAdmin
from gateway.admin_pages.people import PeopleAdmin, RolesAdmin
from gateway.admin_pages.upstreams import UpstreamTrafficAdmin
from gateway.models import CapturedPayload, PayloadCapture, RequestLog
from keys.models import EndUser, Owner, Team, VirtualKey
from upstreams.admin_routing import RoutingAdmin
from upstreams.models import ModelAlias, Routing, Upstream

admin.site.unregister([User, Group])
admin.site.register(User, PeopleAdmin)
admin.site.register(Group, RolesAdmin)
admin.site.register(VirtualKey, KeyTrafficAdmin)
admin.site.register(Team, TeamTrafficAdmin)
admin.site.register(Owner, OwnerTrafficAdmin)
admin.site.register(EndUser, EndUserTrafficAdmin)
admin.site.register(Upstream, UpstreamTrafficAdmin)
admin.site.register(RequestLog, RequestLogAdmin)
admin.site.register(ModelAlias, ModelsAdmin)
admin.site.register(Routing, RoutingAdmin)
admin.site.register(PayloadCapture, PayloadCaptureAdmin)
admin.site.register(CapturedPayload, CapturedPayloadAdmin)
