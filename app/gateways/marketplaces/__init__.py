"""Cloud marketplaces: how each provider tells of its customers, one module for each (docs/integration.md)."""
