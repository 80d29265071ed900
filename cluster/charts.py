"""What Prometheus and Grafana need to show a run's measures beside Ray's own; both listen on the loopback interface."""

from __future__ import annotations

from typing import Any

from hmarl.gauges import MEASURES, TAGS, Measure
from llm.trainers.measures import MEASURES as LLM_MEASURES

Object = dict[str, Any]

PROMETHEUS = "http://127.0.0.1:9090"
_SOURCE = {"type": "prometheus", "uid": "prometheus"}
_WIDTH, _HEIGHT = 8, 7  # of a panel; a row is 24 wide
_KEPT = "1h"  # for which the last value of a run that has ended is drawn on


def prometheus() -> Object:
    """``prometheus.yml``: the nodes are in a file that Ray's head writes anew as they come and go."""
    found = {"files": ["/tmp/ray/prom_metrics_service_discovery.json"]}
    return {
        "global": {"scrape_interval": "10s", "evaluation_interval": "10s"},
        "scrape_configs": [{"job_name": "ray", "file_sd_configs": [found]}],
    }


def data_source() -> Object:
    """Grafana's way to Prometheus."""
    source = {"name": "Prometheus", "uid": _SOURCE["uid"], "type": "prometheus", "access": "proxy", "url": PROMETHEUS}
    return {"apiVersion": 1, "datasources": [{**source, "isDefault": True}]}


def provider() -> Object:
    """Where Grafana finds the dashboard: in the folder it is started in."""
    options = {"path": "dashboards"}
    return {"apiVersion": 1, "providers": [{"name": "hmarl", "folder": "hmarl", "type": "file", "options": options}]}


def grafana_ini() -> str:
    """Grafana's settings: nobody from outside, nothing sent home."""
    return (
        "[server]\nhttp_addr = 127.0.0.1\nhttp_port = 3000\n\n"
        "[paths]\nprovisioning = provisioning\n\n"
        "[analytics]\nreporting_enabled = false\ncheck_for_updates = false\n"
    )


def dashboard() -> Object:
    """Grafana's dashboard: a row for the agents, one for language models, a chart for the measures of a panel."""
    panels: list[Object] = []
    top = 0
    for title, measures in (("Agents", MEASURES), ("Language models", LLM_MEASURES)):
        panels.append(
            {"type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": _place(0, top, 24, 1)}
        )
        charts = _charts(measures)
        for number, (name, shown) in enumerate(charts.items()):
            row, column = divmod(number, 24 // _WIDTH)
            place = _place(column * _WIDTH, top + 1 + row * _HEIGHT, _WIDTH, _HEIGHT)
            panels.append(_panel(name, shown, place))
        top += 1 + -(-len(charts) * _WIDTH // 24) * _HEIGHT
    return {
        "uid": "hmarl",
        "title": "hmarl",
        "schemaVersion": 39,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [_variable(tag, (*MEASURES, *LLM_MEASURES)) for tag in TAGS]},
        "panels": [{"id": number, **panel} for number, panel in enumerate(panels, 1)],
    }


def _charts(measures: tuple[Measure, ...]) -> dict[str, list[Measure]]:
    charts: dict[str, list[Measure]] = {}
    for measure in measures:
        charts.setdefault(measure.panel, []).append(measure)
    return charts


def _panel(title: str, measures: list[Measure], place: Object) -> Object:
    several = len(measures) > 1
    labels = [f"{measure.column} " if several else "" for measure in measures]
    return {
        "type": "timeseries",
        "title": title,
        "description": "; ".join(f"{measure.column}: {measure.text}" for measure in measures),
        "gridPos": place,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": {"unit": measures[0].unit}, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + k),
                "expr": query(measure),
                "legendFormat": f"{labels[k]}{{{{run}}}} {{{{phase}}}}",
            }
            for k, measure in enumerate(measures)
        ],
    }


def query(measure: Measure) -> str:
    """A measure of the runs and phases chosen; one line each, whichever process it came from."""
    chosen = ",".join(f'{tag}=~"${tag}"' for tag in TAGS)
    return f"max by ({', '.join(TAGS)}) (last_over_time({measure.exported}{{{chosen}}}[{_KEPT}]))"


def _variable(tag: str, measures: tuple[Measure, ...]) -> Object:
    counters = "|".join(measure.exported for measure in measures if measure.kind == "counter")
    asked = f'label_values({{__name__=~"{counters}"}}, {tag})'
    return {
        "name": tag,
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": asked, "refId": tag},
        "definition": asked,
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _place(x: int, y: int, width: int, height: int) -> Object:
    return {"x": x, "y": y, "w": width, "h": height}
