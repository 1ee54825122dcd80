"""What every route of the daemon asks of a caller, gathered from beside the handlers."""

from __future__ import annotations

from scheduler.daemon import (
    batch_explain_api,
    batches_api,
    files_api,
    fine_tuning_api,
    gateway,
    jobs_api,
    keys_api,
    outlook_api,
    quota_book,
    quotas_api,
    requests_api,
    session_api,
)
from scheduler.daemon.dashboard import events_api, page, savings_api, status
from scheduler.daemon.http import OWN_POLICIES, Policies
from scheduler.daemon.openapi import api as openapi_api

POLICIES: Policies = {
    **OWN_POLICIES,
    **gateway.POLICIES,
    **files_api.POLICIES,
    **batches_api.POLICIES,
    **batch_explain_api.POLICIES,
    **events_api.POLICIES,
    **fine_tuning_api.POLICIES,
    **jobs_api.POLICIES,
    **outlook_api.POLICIES,
    **keys_api.POLICIES,
    **quota_book.POLICIES,
    **quotas_api.POLICIES,
    **requests_api.POLICIES,
    **savings_api.POLICIES,
    **session_api.POLICIES,
    **status.POLICIES,
    **page.POLICIES,
    **openapi_api.POLICIES,
}
