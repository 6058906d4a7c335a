// What a function has returned: as a table where it is one, otherwise as JSON.
import { html, useState } from "../core/html.js";
import { count } from "../core/format.js";
import { Text, marked, markedPlain } from "../core/text.js";
import { cellText, jsonText, tableOf } from "../core/value-table.js";
import { Button, copy } from "./parts.js";
import { Table } from "./table.js";

const FIRST_ROWS = 100;

function Rows({ table }) {
  const [all, setAll] = useState(false);
  const rows = all ? table.rows : table.rows.slice(0, FIRST_ROWS);
  const columns = table.columns.map((name, at) => [
    markedPlain(name) || "(no name)",
    ({ cells }) => html`<span class="cell"><${Text}>${cellText(cells[at])}<//></span>`,
  ]);
  return html`<div class="wide-table">
      <${Table} records=${rows.map((cells, id) => ({ id, cells }))} id="id" columns=${columns} /></div>
    ${
    rows.length < table.rows.length &&
    html`<p class="after-list"><${Button} onClick=${() => setAll(true)}>Show all ${count(table.rows.length, "row")}<//>
      </p>`
  }`;
}

export function ReturnValue({ value }) {
  if (value === null || value === undefined) return null;
  const table = tableOf(value);
  return html`<section class="panel" aria-labelledby="return-value">
    <div class="panel-head"><h2 id="return-value">Return value</h2>
      <${Button} icon="copy" kind="bare" label="Copy the return value" onClick=${() =>
    copy(jsonText(value), "Return value")} /></div>
    ${
    table
      ? html`<${Rows} table=${table} />`
      : html`<pre class="code" tabindex="0" aria-label="Return value">${marked(jsonText(value))}</pre>`
  }
  </section>`;
}
