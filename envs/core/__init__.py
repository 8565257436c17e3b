"""What every environment shares, whatever the engine."""

import warp as wp

# Warp prints every module that it loads; `compile_notice` says what a user needs to know.
wp.config.quiet = True
