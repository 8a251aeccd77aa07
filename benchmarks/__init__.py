"""How fast pullbench itself is, in one sitting beside the tools that a person would use instead."""
