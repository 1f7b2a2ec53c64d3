"""Why: a run that must tell its teams does not start where it cannot; here that is found out before."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from gameday.clients.slack import SlackBot
from gameday.doctor.lines import Line, State, judged
from gameday.errors import GamedayError
from gameday.settings import Settings
from gameday.spec.platform import Environment, Platform

SLACK: Final = "Slack"

# Messages, and the chart and page of a report in the run's thread.
_NEEDED_SCOPES: Final = ("chat:write", "files:write")
# Without it the channels can be posted to, but not looked at beforehand.
_WANTED_SCOPE: Final = "channels:read"


async def slack(settings: Settings, platform: Platform, environment: Environment) -> list[Line]:
    """The token, its scopes, and the channels of the environment and of the teams."""
    must = State.FAIL if environment.must_notify else State.WARN
    if settings.slack_token is None:
        if settings.slack_webhook_url is not None:
            found = "a webhook: one channel, no threads, and nothing to ask it beforehand"
            return [Line(SLACK, "way out", State.OK, found)]
        return [
            Line(
                SLACK, "way out", must, "no token and no webhook", "Set GAMEDAY_SLACK_TOKEN to a bot's token."
            )
        ]
    bot = SlackBot(
        settings.slack_token.get_secret_value(),
        base_url=settings.slack_base_url,
        timeout=settings.slack_timeout,
    )
    lines = [Line(SLACK, "token", State.OK, "is good"), _scopes(await bot.scopes())]
    return lines + await _channels(bot, platform, environment, must)


def _scopes(given: Collection[str] | None) -> Line:
    if given is None:
        return Line(SLACK, "scopes", State.SKIPPED, "Slack did not say")
    missing = [scope for scope in (*_NEEDED_SCOPES, _WANTED_SCOPE) if scope not in given]
    return judged(
        SLACK,
        "scopes",
        not missing,
        f"missing: {', '.join(missing)}" if missing else ", ".join(sorted(given)),
        "Give the app what is missing and install it again: chat:write to tell, files:write for the chart "
        "and the page of a report, channels:read for the doctor to look at the channels.",
        otherwise=State.WARN if missing == [_WANTED_SCOPE] else State.FAIL,
    )


async def _channels(bot: SlackBot, platform: Platform, environment: Environment, must: State) -> list[Line]:
    try:
        known = await bot.channels()
    except GamedayError as error:
        why = error.message.removeprefix("Slack: ")
        return [Line(SLACK, "channels", State.SKIPPED, f"cannot be listed: {why}", error.hint)]
    others = [*(team.slack for team in platform.teams), *([platform.incidents] if platform.incidents else [])]
    wanted = {environment.channel: must, **dict.fromkeys(others, State.WARN)}
    lines = []
    for channel, otherwise in sorted(wanted.items()):
        member = known.get(channel.removeprefix("#"))
        found = "not found" if member is None else "the bot is in" if member else "the bot is not in"
        lines.append(
            judged(
                SLACK,
                f"channel {channel}",
                bool(member),
                found,
                f"Create it and invite the bot there: /invite in {channel}",
                otherwise=otherwise,
            )
        )
    return lines
