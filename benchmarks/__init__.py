"""How fast pullbench itself is, in one sitting, compared with the tools that a person would use instead."""
