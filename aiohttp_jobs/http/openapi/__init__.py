"""The OpenAPI 3.1 document, built from what the handlers themselves use, and the page that shows it."""
