"""Copy a Google Search Console property's Search Analytics history into your own database."""
