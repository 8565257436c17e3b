"""Map the top-level folders onto the namespace `proveout`; the rest is in pyproject.toml."""

from setuptools import find_namespace_packages, setup

ROOTS = ("assets", "envs", "policies", "training")
PACKAGES = [p for root in ROOTS for p in find_namespace_packages(include=[root, f"{root}.*"])]
setup(
    packages=[f"proveout.{package}" for package in PACKAGES],
    package_dir={f"proveout.{package}": package.replace(".", "/") for package in PACKAGES},
)
