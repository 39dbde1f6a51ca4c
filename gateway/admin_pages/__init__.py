"""What `gateway.admin` registers: the admin's site, the request log's pages and the figures on the others."""
