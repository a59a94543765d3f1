"""Programs that the measurements run as processes of their own, each on the core that it is told to use."""
