// The token that a host's own middleware against CSRF asks for, from where the host's settings say it is.
// It is read each time: the host may change it at any moment.

function settings() {
  return document.getElementById("aiohttp-jobs").dataset;
}

function token() {
  const { csrfCookie, csrfMeta } = settings();
  if (csrfMeta) return document.querySelector(`meta[name="${CSS.escape(csrfMeta)}"]`)?.content ?? "";
  const cookie = document.cookie.split("; ").find((each) => each.startsWith(`${csrfCookie}=`));
  return cookie?.slice(csrfCookie.length + 1) ?? "";
}

/** Whether the host asks for a token at all. */
export function hasCsrf() {
  return Boolean(settings().csrfHeader);
}

/** The headers to send with a request that changes something. */
export function csrfHeaders() {
  return hasCsrf() ? { [settings().csrfHeader]: token() } : {};
}

/** Put the token into `form`, which is about to be sent. */
export function fillCsrfField(form) {
  if (hasCsrf()) form.elements[settings().csrfField].value = token();
}

/** The name of the form's field for it. */
export function csrfField() {
  return settings().csrfField;
}
