// Shows the API's document with Swagger UI, or a sentence that says why it cannot.
"use strict";

const place = document.getElementById("api");

function say(sentence) {
  const note = document.createElement("p");
  note.className = "note";
  note.textContent = sentence;
  place.replaceChildren(note);
}

async function show() {
  let response;
  try {
    response = await fetch("openapi.json", { credentials: "same-origin" });
  } catch {
    say("The server cannot be reached. Reload this page in a moment.");
    return;
  }
  if (response.status === 401) {
    say("Sign in to the application first, then reload this page.");
    return;
  }
  if (!response.ok) {
    say(`The server did not send the document (status ${response.status}). Reload this page in a moment.`);
    return;
  }
  const spec = await response.json();
  place.replaceChildren();
  SwaggerUIBundle({
    spec,
    domNode: place,
    docExpansion: "list",
    deepLinking: true,
    defaultModelsExpandDepth: 0,
    validatorUrl: null, // its default would send this document's address to another site
  });
}

show();
