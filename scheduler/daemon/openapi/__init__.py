"""`/openapi.json`: what every route of the daemon asks for and answers, as OpenAPI 3.1."""
