"""The targets that checks have in common, in the spec's order."""

from pullbench.preflight.check import Target
from pullbench.preflight.world import World


def every_route(world: World) -> list[Target]:
    """Each registry by each proxy of the matrix."""
    return [Target(route=route) for route in world.routes]


def every_image(world: World) -> list[Target]:
    """Each image by each route, what an engine pulls before others among them."""
    return [Target(route=route, image=image) for route in world.routes for image in world.spec.every_image]


def every_platform(world: World) -> list[Target]:
    """Each platform of each image by each route."""
    return [
        Target(route=route, image=image, platform=platform)
        for route in world.routes
        for image in world.spec.every_image
        for platform in world.platforms
    ]
