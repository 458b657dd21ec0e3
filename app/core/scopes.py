"""What a service client may do. Each route of the internal surface names the one scope that it needs."""

from enum import StrEnum


class Scope(StrEnum):
    ACCOUNTS_CREATE = "accounts:create"
    ACCOUNTS_READ = "accounts:read"
    ACCOUNTS_CONTACTS = "accounts:contacts"
    LOGIN_TICKETS = "login-tickets:create"
    WORKSPACES = "workspaces:write"
    SETTLEMENTS = "settlements:read"
    EVENTS = "events:read"
    WEBHOOKS = "webhooks:manage"
    INVOICING = "invoicing:read"
    STAFF_ACCOUNTS = "staff:accounts"
    STAFF_AUDIT = "staff:audit"
    STAFF_REAL_NAME = "staff:real-name"
    STAFF_MARKETPLACE = "staff:marketplace"


MEANINGS = {
    Scope.ACCOUNTS_CREATE: "Create accounts.",
    Scope.ACCOUNTS_READ: "Read and look up accounts; contacts are masked.",
    Scope.ACCOUNTS_CONTACTS: "Beside a scope that shows accounts: email, phone and contact person in clear.",
    Scope.LOGIN_TICKETS: "Ask for login tickets of workspace owners.",
    Scope.WORKSPACES: "Say which account pays for a workspace, and that a workspace is dissolved.",
    Scope.SETTLEMENTS: "Ask what pays, or paid at a past instant, for a workspace.",
    Scope.EVENTS: "Read the event feed.",
    Scope.WEBHOOKS: "Manage the client's own webhook endpoints, which are sent the events of the feed.",
    Scope.INVOICING: "Ask whether an account may have invoices, and under which verified name.",
    Scope.STAFF_ACCOUNTS: "For staff tools: suspend, restore, end sessions, switch arbitrary settlement.",
    Scope.STAFF_AUDIT: "For staff tools: read the activity trail with actors, reasons and addresses.",
    Scope.STAFF_MARKETPLACE: "For staff tools: read what marketplaces sent, and have it applied again.",
    Scope.STAFF_REAL_NAME: "For staff tools: review real-name submissions, whose names and numbers they show.",
}
