/* The OpenAPI document, with its widgets: https://swagger.io/tools/swagger-ui/ */
SwaggerUIBundle({ url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true });
