"""The page's HTML, which loads the modules and contains the host's branding.

It contains no absolute paths, so it works below any prefix and behind proxies that change paths.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

from ..config import JobsConfig
from ..errors import ConfigurationError
from .assets import Assets, Logo, package_assets

ENTRY = "main.js"
WORKER = "stream-worker.js"
HEAD, BODY = "{{ jobs_head }}", "{{ jobs_body }}"
_ICON = "icon.svg"
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


class Page:
    """The page of a host, with its branding, which is read and checked at once.

    Raises `ConfigurationError` for a template or a logo that cannot be used.
    """

    def __init__(self, config: JobsConfig) -> None:
        self._config = config
        self._template = _OWN_TEMPLATE if config.ui_template is None else _read_template(config.ui_template)
        self._logo, self._picture = _own_logo(config.ui_logo)

    def assets(self) -> Assets:
        """All files that the page loads. Blocks for 20 ms the first time."""
        assets = package_assets()
        return assets if self._picture is None else assets.with_logo(self._picture)

    def html(self, assets: Assets) -> str:
        """The page, which loads these."""
        head = self._template.replace(HEAD, _head(self._config, assets), 1)
        return head.replace(BODY, self._body(assets), 1)

    def _body(self, assets: Assets) -> str:
        config = self._config
        settings: dict[str, str | None] = {
            "title": config.ui_title,
            "logo": self._logo or f"ui/{assets.fingerprint}/{self._picture.name if self._picture else _ICON}",
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


def _own_logo(logo: str | None) -> tuple[str | None, Logo | None]:
    """The host's logo: its path on the host, or the picture in a file; neither where it has none."""
    if logo is None:
        return None, None
    if Path(logo).is_file():
        return None, Logo(Path(logo))
    if not logo.startswith("/") or logo.startswith(("//", "/\\")):
        raise ConfigurationError(
            f"ui_logo: {logo} is neither a file nor a path on the host such as /logo.svg."
        )
    return logo, None


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
        f'<link rel="icon" href="{base}/{_ICON}" type="image/svg+xml">',
        f'<script src="{base}/theme.js"></script>',
        *(f'<link rel="stylesheet" href="{base}/{path}">' for path in _STYLES),
        *(f'<link rel="modulepreload" href="{base}/{path}">' for path in assets.preloads(ENTRY)),
        f'<script type="module" src="{base}/{ENTRY}"></script>',
    ]
    return "\n".join(lines)


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
