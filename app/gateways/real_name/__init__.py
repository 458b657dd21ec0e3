"""Who is asked whether a name and a document number belong together: one module for each provider."""
