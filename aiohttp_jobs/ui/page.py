"""The page's HTML, which loads the modules and contains the host's branding.

It contains no absolute paths, so it works below any prefix and behind proxies that change paths.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

from ..config import JobsConfig
from ..errors import ConfigurationError
from .assets import Assets

ENTRY = "main.js"
WORKER = "stream-worker.js"
HEAD, BODY = "{{ jobs_head }}", "{{ jobs_body }}"
_STYLES = ("styles/base.css", "styles/parts.css", "styles/views.css")
_OWN_TEMPLATE = f"""<!doctype html>
<html lang="en">
<head>
{HEAD}
</head>
<body>
{BODY}
</body>
</html>
"""


def render_page(config: JobsConfig, assets: Assets) -> str:
    """The whole page. Raises `ConfigurationError` for a template or a logo that cannot be used."""
    template = _OWN_TEMPLATE if config.ui_template is None else _read_template(config.ui_template)
    return template.replace(HEAD, _head(config, assets), 1).replace(BODY, _body(config, assets), 1)


def is_file(logo: str | None) -> bool:
    """Whether `ui_logo` is a file to serve, rather than a path on the host."""
    return logo is not None and Path(logo).is_file()


def _read_template(path: Path) -> str:
    try:
        text = path.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"ui_template: {path} cannot be read as UTF-8 text: {error}.") from None
    if text.count(HEAD) != 1 or text.count(BODY) != 1:
        raise ConfigurationError(f"ui_template: {path} must have {HEAD} once and {BODY} once.")
    return text


def _head(config: JobsConfig, assets: Assets) -> str:
    base = f"ui/{assets.fingerprint}"
    lines = [
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f"<title>{escape(config.ui_title)}</title>",
        f'<link rel="icon" href="{base}/icon.svg" type="image/svg+xml">',
        f'<script src="{base}/theme.js"></script>',
        *(f'<link rel="stylesheet" href="{base}/{path}">' for path in _STYLES),
        *(f'<link rel="modulepreload" href="{base}/{path}">' for path in assets.preloads(ENTRY)),
        f'<script type="module" src="{base}/{ENTRY}"></script>',
    ]
    return "\n".join(lines)


def _body(config: JobsConfig, assets: Assets) -> str:
    settings: dict[str, str | None] = {
        "title": config.ui_title,
        "logo": _logo(config, assets),
        "login": config.ui_login_url,
        "logout": config.ui_logout_url,
        **_csrf(config),
    }
    attributes = "".join(f' data-{name}="{escape(value)}"' for name, value in settings.items() if value)
    return (
        f'<div id="aiohttp-jobs"{attributes}></div>\n'
        '<noscript><p class="noscript">This page needs JavaScript. Without it, use the API or the '
        "<code>aiohttp-jobs</code> command.</p></noscript>"
    )


def _csrf(config: JobsConfig) -> dict[str, str | None]:
    """Where the page finds the host's token against CSRF, and how it sends it."""
    if config.ui_csrf_cookie is None and config.ui_csrf_meta is None:
        return {}
    return {
        "csrf-cookie": config.ui_csrf_cookie,
        "csrf-meta": config.ui_csrf_meta,
        "csrf-header": config.ui_csrf_header,
        "csrf-field": config.ui_csrf_field,
    }


def _logo(config: JobsConfig, assets: Assets) -> str | None:
    logo = config.ui_logo
    if logo is None:
        return f"ui/{assets.fingerprint}/icon.svg"
    if is_file(logo):
        return f"ui/{assets.fingerprint}/logo{Path(logo).suffix.lower()}"
    if not logo.startswith("/") or logo.startswith(("//", "/\\")):
        raise ConfigurationError(
            f"ui_logo: {logo} is neither a file nor a path on the host such as /logo.svg."
        )
    return logo
