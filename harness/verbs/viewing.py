"""The verb that serves the pages: view."""

from argparse import Namespace

from harness.errors import ExitCode
from harness.registry import content_roots, find_run, list_baselines, list_runs, results_root


def view(options: Namespace) -> ExitCode:
    """Serve leaderboard and reports on this machine until it is stopped."""
    import webbrowser

    from harness.counting.cache import Cache
    from harness.show.console import Screen
    from harness.show.view.server import Server
    from harness.show.view.site import Site

    named = [find_run(name) for name in dict.fromkeys(options.runs)]
    site = Site(
        lambda: named or [*list_runs(), *list_baselines()],
        Cache(results_root() / "cache/counted"),
        content_roots(options.include_path),
    )
    screen = Screen()
    with Server(site, options.port) as server:
        with Screen(stderr=True).status("counting the runs"):
            site.page("/")
        screen.print(f"Look at {server.address} (Ctrl-C ends it).", soft_wrap=True)
        if options.open:
            webbrowser.open(server.address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            screen.print("Ended.")
    return ExitCode.OK
