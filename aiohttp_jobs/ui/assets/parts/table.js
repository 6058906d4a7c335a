// A table of records; on a phone each row becomes a small card with the columns' names in it.
import { html } from "../core/html.js";

/** `columns` are `[label, cell(record)]`; an empty label is a column of buttons. */
export function Table({ records, id, columns }) {
  return html`
    <table class="list">
      <thead>
        <tr>${columns.map(([label]) =>
          html`<th scope="col" key=${label}>${label || html`<span class="visually-hidden">Actions</span>`}</th>`
        )}</tr>
      </thead>
      <tbody>${records.map((record) =>
        html`<tr key=${record[id]}>
      ${
          columns.map(([label, cell]) =>
            html`
              <td key=${label} data-label=${label || undefined} class=${label ? "" : "col-actions"}>
                <div>${cell(record)}</div>
              </td>
            `
          )
        }
    </tr>`
      )}</tbody>
    </table>
  `;
}
