"""Where codes and notices leave: one notifier a channel, chosen by the settings.

Each implementation takes plain values; this module alone knows the settings.
"""

from collections.abc import Callable
from typing import TypeVar

from app.core.config import EmailNotifier, Settings, SmsNotifier
from app.notifiers.base import Notifier
from app.notifiers.log import LogNotifier
from app.notifiers.sms_aliyun import AliyunSmsNotifier
from app.notifiers.sms_http import HttpSmsNotifier
from app.notifiers.smtp import SmtpNotifier

T = TypeVar("T")


def _set(value: T | None) -> T:
    """A setting that its notifier needs. Settings refuse to be made without it, so this is for the type checker."""
    if value is None:
        raise ValueError("a setting of the chosen notifier is missing")
    return value


def _log(settings: Settings) -> Notifier:
    return LogNotifier(settings.dev_messages_file)


def _smtp(settings: Settings) -> Notifier:
    url = _set(settings.smtp_url).get_secret_value()
    return SmtpNotifier(url, sender=settings.email_from, timeout=settings.notifier_timeout_seconds)


def _http(settings: Settings) -> Notifier:
    url = _set(settings.sms_http_url).get_secret_value()
    return HttpSmsNotifier(url, timeout=settings.notifier_timeout_seconds)


def _aliyun(settings: Settings) -> Notifier:
    return AliyunSmsNotifier(
        endpoint=str(settings.aliyun_sms_endpoint),
        key_id=_set(settings.aliyun_access_key_id).get_secret_value(),
        key_secret=_set(settings.aliyun_access_key_secret).get_secret_value(),
        sign_name=_set(settings.aliyun_sms_sign_name),
        templates=settings.aliyun_sms_templates,
        timeout=settings.notifier_timeout_seconds,
    )


EMAIL: dict[EmailNotifier, Callable[[Settings], Notifier]] = {
    EmailNotifier.LOG: _log,
    EmailNotifier.SMTP: _smtp,
}
SMS: dict[SmsNotifier, Callable[[Settings], Notifier]] = {
    SmsNotifier.LOG: _log,
    SmsNotifier.HTTP: _http,
    SmsNotifier.ALIYUN: _aliyun,
}


def build(settings: Settings) -> dict[str, Notifier]:
    """The notifier of each channel, by the channel's name in `Message`."""
    return {
        "email": EMAIL[settings.email_notifier](settings),
        "sms": SMS[settings.sms_notifier](settings),
    }
