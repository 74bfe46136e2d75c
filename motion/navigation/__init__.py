"""Going where one is told: environments and policies whose action is the noise of streamed primitives."""
