"""Whole gateways on real sockets.

Ten mistakes that gunicorn, gevent, Django, requests and SQLite invite one to make, and the tests that notice them:

1. `iter_content` holds back what is not chunked: test_streaming.test_each_piece_arrives_before_the_next_is_sent
2. Django takes a chunked request body for empty: test_bodies.test_any_body_arrives_unchanged,
   test_control_plane.test_the_key_api_takes_bodies_of_either_framing
3. a database connection stays open while a body streams:
   test_postgresql.test_streams_hold_no_connection_to_the_database
4. kept database connections leak, one for each greenlet: test_postgresql.test_calls_leave_no_connection_behind
5. waiting for SQLite's lock stops every stream: test_streaming.test_a_locked_sqlite_file_delays_no_stream
6. netrc replaces the credential, cookies go to others: test_headers.test_the_upstream_gets_its_own_credential_and_host
   (the shared gateway runs beside a netrc and a proxy), test_headers.test_orders_about_the_connection_…
7. REST framework answers 406 to event streams: test_streaming.test_accept_event_stream_is_no_reason_to_refuse
8. TLS ends in a RecursionError when gevent patches late: test_failures.test_an_upstream_whose_certificate_…
9. a quiet stream does not notice a client that left: test_leaving_clients.test_the_upstream_is_told_within_a_second
10. a worker that is killed at the end of its grace accounts for nothing: test_processes.test_sigterm_…
"""
