"""Notices: e-mails and webhooks about ended jobs. They are durable, and their failures never affect a job."""
