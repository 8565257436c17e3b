"""The tab `Change`: a slider for every number that can differ from world to world."""

from __future__ import annotations

from typing import Any

from proveout.training.view.numbers import NumberTold
from proveout.training.view.session import Session

_LEVELS = ("off", "mild", "strong")


class ChangePanel:
    """Sliders, and the level of randomisation.

    Args:
        viser: The server, inside the tab.
        session: What they change.
    """

    def __init__(self, viser: Any, session: Session) -> None:
        self._gui, self._session = viser.gui, session
        gui = viser.gui
        gui.add_markdown("For the next episodes of the shown worlds.")
        now = gui.add_button("Begin them now")
        back = gui.add_button("Back to the config's numbers")
        now.on_click(lambda _: session.post(session.begin_now))
        back.on_click(lambda _: session.post(self._restore))
        if session.can_remake:
            level = gui.add_dropdown(
                "Randomisation", _LEVELS,
                initial_value=session.env.config.randomization.level,
                hint="all worlds begin anew",
            )  # fmt: skip
            level.on_update(
                lambda event: session.post(lambda: session.set_level(event.target.value))
            )
        self._folder = gui.add_folder("Numbers")
        self._sliders: dict[str, Any] = {}
        self._parts: list[Any] = []
        self.fill()

    def fill(self) -> None:
        """Make the sliders of the session's numbers."""
        for part in self._parts:
            part.remove()
        self._sliders, self._parts = {}, []
        groups: dict[str, list[NumberTold]] = {}
        for number in self._session.numbers.values():
            group, dot, _ = number.name.partition(".")
            groups.setdefault(group if dot else "", []).append(number)
        with self._folder:
            for group, numbers in groups.items():
                if not group:
                    for number in numbers:
                        self._parts.append(self._add(number))
                    continue
                title = group.replace("_", " ").capitalize()
                folder = self._gui.add_folder(title, expand_by_default=len(numbers) < 6)
                self._parts.append(folder)
                with folder:
                    for number in numbers:
                        self._add(number)

    def tell(self) -> None:
        """Put sliders back that could not be set."""
        for name, slider in self._sliders.items():
            number = self._session.numbers.get(name)
            if number is None or not self._session.message:
                continue
            value = self._session.changed.get(name, float(number.value))
            if slider.value != value:
                slider.value = value

    def _add(self, number: NumberTold) -> Any:
        unit = "" if number.unit == "1" else f" [{number.unit}]"
        name = number.name.rpartition(".")[2]
        slider = self._gui.add_slider(
            f"{name}{unit}", number.low, number.high, number.step, float(number.value),
            hint=number.text,
        )  # fmt: skip
        session = self._session
        slider.on_update(
            lambda event: session.post(lambda: session.set_number(number.name, event.target.value))
        )
        self._sliders[number.name] = slider
        return slider

    def _restore(self) -> None:
        self._session.restore_numbers()
        for name, slider in self._sliders.items():
            slider.value = float(self._session.numbers[name].value)
